"""Reading a run directory: what is there, and whether it is what its name says.

A file that is missing, or is not what its name says, is read as None; the second is reported to the
logger ``samplerbench``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from .contents import Contents
from .layout import (
    CELL,
    INFLUENCE,
    MADE,
    OPENED,
    PIN,
    QUALITY,
    SHARD,
    check_file_name,
    fingerprint_place,
    part_place,
    pictures_place,
    shard_place,
    shard_ranges,
    trajectories_place,
)
from .sealed import Arrays, DamagedError

log = logging.getLogger("samplerbench")

Value = TypeVar("Value")


@dataclass(frozen=True)
class RunReader:
    """A run directory as it is read.

    Make one with :meth:`open`; it reads no more than it is asked for.

    Attributes:
        model: digest of the model of reference data (:meth:`of_model`); "" where only one is known.
        extractor: digest of the extractor of their features.
    """

    path: Path
    model: str = ""
    extractor: str = ""
    _contents: Contents = field(default=None, compare=False, repr=False)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        """Create an empty cache of files, unless :meth:`of_model` passes its own."""
        if self._contents is None:
            object.__setattr__(self, "_contents", Contents(self.path))

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Return the existing run directory at ``path``, or raise a ValueError; write nothing."""
        path = Path(path)
        if not (path / "parts").is_dir():
            raise ValueError(
                f"{path} is not a run directory (it has no parts/); give the "
                "folder that `samplerbench run` printed"
            )
        return cls(path)

    def of_model(self, digest: str, extractor: str = "") -> Self:
        """Return the same directory with the reference data of one model and one extractor only."""
        return replace(self, model=digest, extractor=extractor)

    def part(self, cell: str, name: str) -> Path:
        """Return path of a file of one cell, such as ``quality.json``."""
        return self.path / part_place(cell, name)

    def shard(self, cell: str, start: int, stop: int) -> Path:
        """Return path of the shard with samples ``start`` … ``stop - 1``."""
        return self.path / shard_place(cell, start, stop)

    def samples(self, cell: str) -> Path:
        """Return path of a cell's pictures."""
        return self.path / pictures_place(cell)

    def evolution(self, cell: str) -> Path:
        """Return path of a cell's trajectories."""
        return self.path / trajectories_place(cell)

    def cells(self) -> list[str]:
        """Return keys of the planned cells, sorted."""
        return sorted(path.parent.name for path in (self.path / "parts").glob(f"*/{CELL}"))

    def names(self, cell: str) -> list[str]:
        """Return the names of the files in a cell's folder, sorted; none without the folder."""
        try:
            return sorted(os.listdir(f"{self.path}/parts/{check_file_name(cell)}"))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def shard_ranges(self, cell: str, samples: int) -> list[tuple[int, int]]:
        """Return the shards ``(start, stop)`` of [0, ``samples``): all of one size but the last.

        They do not depend on how the cell came to have its samples, so that the same batches are
        summed in the same order. A shard that an earlier number of samples cut short is kept.
        """
        size = (self.read(cell, MADE) or {}).get("shard")
        if isinstance(size, int) and size > 0:
            return shard_ranges(samples, size)
        return sorted(self.stored_shards(cell))  # a run from before does not say it

    def missing_shards(self, cell: str, samples: int) -> list[tuple[int, int]]:
        """Return the shards of :meth:`shard_ranges` without a file, in order."""
        drawn = self.stored_shards(cell)
        return [piece for piece in self.shard_ranges(cell, samples) if piece not in drawn]

    def stored_shards(self, cell: str) -> set[tuple[int, int]]:
        """Return the shards ``(start, stop)`` of a cell, from the names of its files."""
        try:
            with os.scandir(self.part(cell, CELL).parent) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return set()
        matches = [SHARD.fullmatch(name) for name in names]
        shards = [((int(match[1]), int(match[2])), match[0]) for match in matches if match]
        return {piece for piece, name in shards if shard_place(cell, *piece).endswith(f"/{name}")}

    def run(self) -> dict[str, Any]:
        """Return the valid items of ``run.json``; empty if the file does not exist."""
        record = (
            self._contents.pending_run or self._read_or_none("run.json", self._contents.json) or {}
        )
        return {key: value for key, value in record.items() if _is_of_a_run(key, value)}

    def read(self, cell: str, name: str) -> dict[str, Any] | None:
        """Return a JSON part of a cell; None if it is missing or damaged."""
        return self._read_or_none(
            part_place(cell, name),
            self._contents.json,
            self.made_by(cell) if name not in (CELL, MADE) else None,
        )

    def read_or_raise(self, cell: str, name: str) -> dict[str, Any]:
        """Return a JSON part of a cell; exceptions as :meth:`.Contents.json`."""
        return self._contents.json(
            part_place(cell, name), self.made_by(cell) if name != CELL else None
        )

    def influence(self, cell: str) -> Arrays | None:
        """Return the arrays of a cell's ``influence.npz``, if written with its ``quality.json``."""
        place, pin = part_place(cell, INFLUENCE), self._pinned_digest(cell)
        if pin is not None and not (self.path / place).is_file():
            log.warning(
                "%s is missing, so that its row is compared as one that shares no latents with any "
                "other. Running the suite into this folder again makes it anew.",
                self.path / place,
            )
        return self._read_or_none(place, self._contents.npz, self.made_by(cell), pin)

    def read_shard(self, cell: str, start: int, stop: int) -> Arrays | None:
        """Return the arrays of a shard; None if it is missing or damaged."""
        return self._read_or_none(
            shard_place(cell, start, stop), self._contents.npz, self.made_by(cell)
        )

    def read_samples(self, cell: str) -> Arrays | None:
        """Return a cell's pictures; None if they are missing or damaged."""
        return self._read_or_none(pictures_place(cell), self._contents.npz, self.made_by(cell))

    def read_reference(self, name: str) -> Arrays | None:
        """Return reference data by name; None if they are missing or damaged."""
        return self._read_or_none(self._reference(name), self._contents.npz)

    def reference_steps(self, tag: str) -> list[int]:
        """Return the numbers N for which there are reference data ``TAG-N``, sorted."""
        start = Path(self._reference(tag)).stem + "-"
        paths = (self.path / "reference").glob(f"{start}*.npz")
        ends = (path.stem.removeprefix(start) for path in paths)
        return sorted(int(end) for end in ends if end.isdecimal())

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """Return the fingerprints of the models and extractors of this run, by digest."""
        names = sorted(path.stem for path in (self.path / "made").glob("[!.]*.json"))
        names = [name for name in names if OPENED not in name]
        read = {
            name: self._read_or_none(fingerprint_place(name), self._contents.json) for name in names
        }
        return {name: record for name, record in read.items() if record is not None}

    def late_file_hashes(self, digest: str) -> dict[str, str]:
        """Return the SHA-256, by name, of files that a model opened only at sampling or scoring."""
        files: dict[str, str] = {}
        for path in sorted((self.path / "made").glob(f"{check_file_name(digest)}{OPENED}*.json")):
            read = self._read_or_none(fingerprint_place(path.stem), self._contents.json) or {}
            for name, content in dict(read.get("files") or {}).items():
                # of two contents of one file, neither is right
                files[name] = content if files.get(name, content) == content else ""
        return files

    def read_log(self, name: str) -> dict[str, Any]:
        """Return a JSON file at the top, such as ``looks.json``; empty if it does not exist."""
        return self._read_or_none(name, self._contents.json) or {}

    def made_by(self, cell: str) -> str:
        """Return the fingerprint digest behind a cell; "" where its ``cell.json`` has none."""
        try:
            return str(self._contents.json(part_place(cell, CELL)).get("made_by") or "")
        except (FileNotFoundError, DamagedError):
            return ""

    def digest(self, place: str) -> str:
        """Return the digest of the content of a JSON file or of arrays; "" where there is no file."""
        return self._contents.digest(place)

    @property
    def predates_checksums(self) -> bool:
        """Return True if the run is older than checksums: its files can be read, but prove nothing."""
        return self._contents.predates_checksums

    def _reference(self, name: str) -> str:
        return f"reference/{check_file_name(f'{self.model}.{name}' if self.model else name)}.npz"

    def _pinned_digest(self, cell: str) -> str | None:
        """Return the digest of the influence values of the quality columns; None for none."""
        try:
            pin = self.read_or_raise(cell, QUALITY).get(PIN)
        except (FileNotFoundError, DamagedError):
            return None
        return str(pin.get("sha256")) if isinstance(pin, dict) else None

    def _read_or_none(
        self, place: str, read: Callable[..., Value], *expected: str | None
    ) -> Value | None:
        try:
            return read(place, *expected)
        except FileNotFoundError:
            return None
        except DamagedError as fault:
            log.warning(
                "%s is damaged: %s. It is left out; running the suite into this folder "
                "again makes it anew.",
                self.path / place,
                fault,
            )
            return None


_TABLES = ("suite", "provenance", "models")
_BY_MODEL = ("references", "fingerprints", "citations", "start_errors", "path_curvature")


def _is_of_a_run(key: str, value: Any) -> bool:
    """Return True if an item of ``run.json`` has the type that readers expect."""
    if key in _BY_MODEL:
        return isinstance(value, dict) and all(isinstance(item, dict) for item in value.values())
    if key == "earlier":
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return key not in _TABLES or isinstance(value, dict)


def read_pictures_at(path: Path) -> Arrays | None:
    """Return the pictures or trajectories in the file at ``path``; None if it does not exist."""
    run, cell = RunReader(path.parent.parent), path.stem.removesuffix("-path")
    return run._read_or_none(f"samples/{path.name}", run._contents.npz, run.made_by(cell))


def read_run_record(path: Path) -> dict[str, Any]:
    """Return ``run.json`` of a run directory, or the one next to a table; empty without one."""
    return RunReader(path if path.is_dir() else path.parent).run()
