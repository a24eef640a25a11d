"""The run directory: where everything that a run produces lies, safe against a kill at any moment.

::

    run.json                     {"suite": resolved suite, "provenance": {"command": …, …}}
    parts/CELL/cell.json         identity columns of the row, written when the cell is planned
    parts/CELL/START-STOP.npz    a finished shard: samples START … STOP - 1
    parts/CELL/quality.json      measured quality columns, with ``samples``, ``status`` and ``reason``
    parts/CELL/influence.npz     influence values, for paired comparisons
    parts/CELL/timing.json       timing columns, and the raw times as lists
    reference/NAME.npz           converged endpoints and the like
    samples/CELL.npz             a few samples: "images" (k, C, H, W) uint8 or "points" (k, 2) float32, and their "converged" endpoints
    samples/CELL-path.npz        the way of the first of them: "sigma" (k,), "x" and "d" (k, n, ...), "end" (n, ...)
    table.csv table.parquet report.html   rebuilt from the above at any time
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .files import PART, read_json, write_json
from .record import Record

LOCK = ".lock"
LAYOUT = frozenset(
    {
        *("run.json", "parts", "reference", "samples", "looks.json"),
        *("table.csv", "table.parquet", "table.md", "table.tex", "timing.csv", "report.html", "figures"),
        LOCK,
    }
)
"""Names at the top of a run directory."""

_SHARD = re.compile(r"(\d+)-(\d+)\.npz")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")


@dataclass(frozen=True)
class RunDir:
    """A run directory. Make one with :meth:`create` (to write) or :meth:`open` (to read); neither reads more than it is asked for."""

    path: Path

    @classmethod
    def create(cls, path: Path | str) -> Self:
        """The run directory at ``path``, made if it does not exist.

        Raises:
            ValueError: ``path`` is a file, cannot be written, or is a folder that holds something else.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file, not a run directory; choose another folder with --out")
        try:
            strangers = _strangers(path) if path.exists() else []
            if strangers:
                message = f"{path} is not a run directory (it holds {strangers[0]!r}); choose an empty or new folder with --out"
                raise ValueError(message)
            (path / "parts").mkdir(parents=True, exist_ok=True)
            (path / LOCK).touch()
        except OSError as error:
            raise ValueError(f"cannot write to {path} ({error.strerror}); choose another folder with --out") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """The existing run directory at ``path``; nothing is written.

        Raises:
            ValueError: there is no run directory.
        """
        path = Path(path)
        if not (path / "parts").is_dir():
            raise ValueError(f"{path} is not a run directory (it has no parts/); give the folder that `samplerbench run` printed")
        return cls(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that writes here, and clear what a killed one left half-written.

        The kernel drops the lock when its process ends, however it ends.

        Raises:
            ValueError: another process holds the lock.
        """
        import fcntl  # here, because reading a run needs no lock, and must work where there is no fcntl

        with (self.path / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"another samplerbench process is running in {self.path}; wait for it to end or choose another --out"
                raise ValueError(message) from error
            for stray in self.path.rglob(f".*{PART}"):
                stray.unlink(missing_ok=True)
            yield

    # -- where things are ------------------------------------------------------------------------------------------------------

    def part(self, cell: str, name: str) -> Path:
        """Path of a file of one cell, such as ``quality.json``."""
        return self.path / "parts" / _checked(cell) / _checked(name)

    def shard(self, cell: str, start: int, stop: int) -> Path:
        """Path of the shard with samples ``start`` … ``stop - 1``."""
        return self.part(cell, f"{start:08d}-{stop:08d}.npz")

    def samples(self, cell: str) -> Path:
        """Path of a cell's pictures."""
        return self.path / "samples" / f"{_checked(cell)}.npz"

    def evolution(self, cell: str) -> Path:
        """Path of a cell's trajectories."""
        return self.path / "samples" / f"{_checked(cell)}-path.npz"

    def reference(self, name: str) -> Path:
        """Path of reference data, without the suffix in ``name``."""
        return self.path / "reference" / f"{_checked(name)}.npz"

    # -- what is there ---------------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, object]:
        """``run.json``; empty if it is not there yet."""
        return read_json(self.path / "run.json") or {}

    def write_run(self, run: dict[str, object]) -> None:
        """Write ``run.json``."""
        write_json(self.path / "run.json", run)

    def cells(self) -> list[str]:
        """Keys of the planned cells, sorted."""
        return sorted(path.parent.name for path in (self.path / "parts").glob("*/cell.json"))

    def plan(self, cell: str, record: Record) -> None:
        """Say that a cell belongs to this run, with the identity columns of its row. A cell already planned alike is left alone."""
        path = self.part(cell, "cell.json")
        if read_json(path) != record:
            write_json(path, record)

    def shards(self, cell: str) -> list[tuple[int, int]]:
        """Ranges ``(start, stop)`` of a cell's whole shards, sorted. A truncated file is no shard."""
        matches = ((path, _SHARD.fullmatch(path.name)) for path in self.part(cell, "cell.json").parent.glob("*-*.npz"))
        return sorted((int(match[1]), int(match[2])) for path, match in matches if match and zipfile.is_zipfile(path))

    def missing(self, cell: str, samples: int, *, shard: int | None = None) -> list[tuple[int, int]]:
        """Ranges ``(start, stop)`` of [0, ``samples``) that no shard holds, in order.

        Args:
            cell: its key.
            samples: number of samples asked for.
            shard: cut the ranges at multiples of this. Shards made that way have the same borders whether or not the run was
                interrupted, and so the same batches.
        """
        gaps: list[tuple[int, int]] = []
        covered = 0
        for start, stop in [*self.shards(cell), (samples, samples)]:
            if start > covered:
                gaps.append((covered, min(start, samples)))
            covered = max(covered, stop)
            if covered >= samples:
                break
        return [piece for gap in gaps for piece in _cut(gap, shard)]


def _cut(gap: tuple[int, int], shard: int | None) -> Iterator[tuple[int, int]]:
    start, stop = gap
    while shard and start // shard < (stop - 1) // shard:
        end = (start // shard + 1) * shard
        yield start, end
        start = end
    yield start, stop


def _strangers(path: Path) -> list[str]:
    """Names in a folder that make it something else than a run directory."""
    names = {entry.name for entry in path.iterdir()}
    return [] if "run.json" in names else sorted(name for name in names - LAYOUT if not name.endswith(PART))


def _checked(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file of a run; use letters, digits and . _ = + -")
    return name
