"""The run directory: where everything that a run produces lies, safe against a kill at any moment.

::

    run.json                     {"suite": resolved suite, "provenance": {"command": …, …}}
    parts/CELL/cell.json         identity columns of the row, written when the cell is planned
    parts/CELL/made.json         what the sampler, the model and the extractor of the cell do (:mod:`.fingerprint`)
    parts/CELL/START-STOP.npz    a finished shard: samples START … STOP - 1
    parts/CELL/quality.json      measured quality columns, with ``samples``, ``status`` and ``reason``
    parts/CELL/influence.npz     influence values, for paired comparisons
    parts/CELL/timing.json       timing columns, and the raw times as lists
    made/DIGEST.json             what a model or an extractor does, by the digest that ``made_by`` names it with
    reference/NAME.npz           converged endpoints and the like
    samples/CELL.npz             a few samples: "images" (k, C, H, W) uint8 or "points" (k, 2) float32, and their "converged" endpoints
    samples/CELL-path.npz        the way of the first of them: "sigma" (k,), "x" and "d" (k, n, ...), "end" (n, ...)
    set-aside/CELL.N/            what another sampler, model or extractor made under this name, with the reason in ``why.json``
    set-aside/damaged/           files that were not what their names say
    table.csv table.parquet report.html   rebuilt from the above at any time

Every file above the last two lines is sealed (:mod:`.sealed`): it names its place and what made it, and its content is checked when it is
read. One that does not hold is reported (logger ``samplerbench``) and taken for missing. Runs from before there were seals can be read,
with a warning; a run into such a directory sets their parts aside, since nothing proves what made them.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from ..record import Record
from . import sealed
from .files import PART, read_json, read_npz, write_json
from .json_cache import Held
from .sealed import Arrays, Damaged, Unsealed

log = logging.getLogger("samplerbench")

LOCK = ".lock"
ASIDE = "set-aside"
LAYOUT = frozenset(
    {
        *("run.json", "parts", "made", "reference", "samples", "looks.json", ASIDE),
        *("table.csv", "table.parquet", "table.md", "table.tex", "timing.csv", "report.html", "figures"),
        LOCK,
    }
)
"""Names at the top of a run directory."""

_SHARD = re.compile(r"(\d{1,18})-(\d{1,18})\.npz")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
_STRAY = re.compile(rf"\..+\.[0-9a-f]{{12}}{re.escape(PART)}")

Value = TypeVar("Value")


class Aside(NamedTuple):
    """A cell that was set aside: its key, the identity columns of its row, and why."""

    cell: str
    record: Record
    why: str


@dataclass(frozen=True)
class RunDir:
    """A run directory. Make one with :meth:`create` (to write) or :meth:`open` (to read); neither reads more than it is asked for.

    Attributes:
        path: the folder.
        model: digest of the model that reference data are of (:meth:`of_model`); "" where only one is known.
        extractor: the same of what makes their features.
    """

    path: Path
    model: str = ""
    extractor: str = ""
    _makers: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    _held: Held = field(default_factory=Held, compare=False, repr=False)

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
            stranger = _stranger(path) if path.exists() else ""
            if stranger:
                raise ValueError(f"{path} is not a run directory ({stranger}); choose an empty or new folder with --out")
            for name in ("parts", "made", "reference", "samples", ASIDE):
                if (path / name).is_symlink():
                    raise ValueError(
                        f"{path / name} is a symbolic link, which a run would write through; remove it or choose another --out"
                    )
            path.mkdir(parents=True, exist_ok=True)
            (path / LOCK).touch()  # first, so that a kill leaves a folder that is known again
            (path / "parts").mkdir(exist_ok=True)
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

    def of_model(self, digest: str, extractor: str = "") -> Self:
        """The same directory with the reference data of one model and one extractor, which those of no other are taken for."""
        return replace(self, model=digest, extractor=extractor)

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
            for pattern in (".*", "parts/*/.*", "made/.*", "reference/.*", "samples/.*"):
                for stray in self.path.glob(pattern + PART):
                    if _STRAY.fullmatch(stray.name):
                        stray.unlink(missing_ok=True)
            with self._held.alone():
                yield

    # -- where things are ------------------------------------------------------------------------------------------------------

    def part(self, cell: str, name: str) -> Path:
        """Path of a file of one cell, such as ``quality.json``."""
        return self.path / _part(cell, name)

    def shard(self, cell: str, start: int, stop: int) -> Path:
        """Path of the shard with samples ``start`` … ``stop - 1``."""
        return self.path / _shard(cell, start, stop)

    def samples(self, cell: str) -> Path:
        """Path of a cell's pictures."""
        return self.path / _pictures(cell)

    def evolution(self, cell: str) -> Path:
        """Path of a cell's trajectories."""
        return self.path / _evolution(cell)

    def reference(self, name: str) -> Path:
        """Path of reference data, without the suffix in ``name``."""
        return self.path / self._reference(name)

    # -- reading: None where a file is missing, or not what its name says (which is reported) --------------------------------------

    def run(self) -> dict[str, Any]:
        """``run.json``; empty if it is not there yet."""
        return self._held.due or self._tried("run.json", self._json) or {}

    def read(self, cell: str, name: str) -> dict[str, Any] | None:
        """A JSON part of a cell."""
        return self._tried(_part(cell, name), self._json, self.made_by(cell) if name not in (CELL, MADE) else None)

    def parsed(self, cell: str, name: str) -> dict[str, Any]:
        """A JSON part of a cell.

        Raises:
            FileNotFoundError: there is none.
            Damaged: it is not what its name says.
        """
        return self._json(_part(cell, name), self.made_by(cell) if name != CELL else None)

    def influence(self, cell: str) -> Arrays | None:
        """The arrays of a cell's ``influence.npz``, which must be the one that was written with its ``quality.json``."""
        place, pin = _part(cell, INFLUENCE), self._pinned(cell)
        if pin is not None and not (self.path / place).is_file():
            log.warning(
                "%s is missing, so that its row is compared as one that shares no latents with any other. Running the suite into this "
                "folder again makes it anew.", self.path / place,
            )  # fmt: skip
        return self._tried(place, self._npz, self.made_by(cell), pin)

    def read_shard(self, cell: str, start: int, stop: int) -> Arrays | None:
        """The arrays of a shard."""
        return self._tried(_shard(cell, start, stop), self._npz, self.made_by(cell))

    def read_samples(self, cell: str) -> Arrays | None:
        """A cell's pictures."""
        return self._tried(_pictures(cell), self._npz, self.made_by(cell))

    def read_evolution(self, cell: str) -> Arrays | None:
        """A cell's trajectories."""
        return self._tried(_evolution(cell), self._npz, self.made_by(cell))

    def read_reference(self, name: str) -> Arrays | None:
        """Reference data."""
        return self._tried(self._reference(name), self._npz)

    def reference_steps(self, tag: str) -> list[int]:
        """The numbers N for which there are reference data ``TAG-N``, sorted."""
        stems = (path.name.removesuffix(".npz") for path in self.reference(tag).parent.glob("*.npz"))
        ends = (stem.removeprefix(f"{Path(self._reference(tag)).stem}-") for stem in stems)
        return sorted(int(end) for end in ends if end.isdecimal())

    def _reference(self, name: str) -> str:
        return f"reference/{_checked(f'{self.model}.{name}' if self.model else name)}.npz"

    def made(self) -> dict[str, dict[str, Any]]:
        """What models and extractors of this run do, by digest: records of fingerprints."""
        names = sorted(path.stem for path in (self.path / "made").glob("[!.]*.json"))
        read = {name: self._tried(_made(name), self._json) for name in names}
        return {name: record for name, record in read.items() if record is not None}

    def read_log(self, name: str) -> dict[str, Any]:
        """A JSON file at the top, such as ``looks.json``; empty if it is not there."""
        return self._tried(name, self._json) or {}

    def made_by(self, cell: str) -> str:
        """The digest of what made a cell; "" where its ``cell.json`` does not say."""
        if cell not in self._makers:
            try:
                self._makers[cell] = str(self._json(_part(cell, CELL)).get("made_by") or "")
            except (FileNotFoundError, Damaged):
                self._makers[cell] = ""
        return self._makers[cell]

    @cached_property
    def old(self) -> bool:
        """Whether the run was made before there were seals: its files can be read, but nothing proves what they are."""
        known = read_json(self.path / "run.json")
        sealed_once = (self.path / "made").is_dir()  # which no earlier version wrote: then it is run.json that is damaged
        return known is not None and "suite" in known and sealed.KEY not in known and not sealed_once

    def _json(self, place: str, made_by: str | None = None) -> dict[str, Any]:
        try:
            return self._held.read(place, made_by, lambda: sealed.read_json(self.path / place, place, made_by))
        except Unsealed:
            if self.old:
                return read_json(self.path / place) or {}
            raise

    def _pinned(self, cell: str) -> str | None:
        """The digest of the influence values that belong to the quality columns; None where there are none."""
        try:
            pin = self.parsed(cell, QUALITY).get(PIN)
        except (FileNotFoundError, Damaged):
            return None
        return str(pin.get("sha256")) if isinstance(pin, dict) else None

    def _npz(self, place: str, made_by: str | None = None, sha256: str | None = None) -> Arrays:
        try:
            return sealed.read_npz(self.path / place, place, made_by, sha256)
        except Unsealed:
            if not self.old:
                raise
        return self._unsealed(place)

    def _sound(self, place: str, made_by: str | None = None, sha256: str | None = None) -> None:
        """Raise what :meth:`_npz` would: a digest that holds says that the arrays are those that were written."""
        try:
            sealed.check_npz(self.path / place, place, made_by, sha256)
        except Unsealed:
            if not self.old:
                raise
            self._unsealed(place)

    def _unsealed(self, place: str) -> Arrays:
        arrays = read_npz(self.path / place)
        if arrays is None:
            raise Damaged("its arrays cannot be read")
        return arrays

    def _tried(self, place: str, read: Callable[..., Value], *expected: str | None) -> Value | None:
        try:
            return read(place, *expected)
        except FileNotFoundError:
            return None
        except Damaged as fault:
            log.warning(
                "%s is damaged: %s. It is left out; running the suite into this folder again makes it anew.", self.path / place, fault
            )
            return None

    # -- writing ---------------------------------------------------------------------------------------------------------------

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        self._held.due = None
        self._write("run.json", run)
        self.__dict__.pop("old", None)

    def announce(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json`` before anything else is; if only the moment and the command are new, not unless something else is."""
        if not self._held.wait(run, self.run()):
            self.write_run(run)

    def write(self, cell: str, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON part of a planned cell."""
        self._write(_part(cell, name), value, self.made_by(cell))

    def write_score(self, cell: str, quality: Mapping[str, Any], influence: Arrays) -> None:
        """Write the quality columns of a planned cell with the influence values behind them."""
        pinned = {}
        if influence:
            place = _part(cell, INFLUENCE)
            self._changes(place)
            pinned = {PIN: {"sha256": sealed.write_npz(self._inside(place), influence, place, self.made_by(cell))}}
        self.write(cell, QUALITY, {**quality, **pinned})

    def write_shard(self, cell: str, start: int, stop: int, arrays: Arrays) -> None:
        """Write the shard with samples ``start`` … ``stop - 1`` of a planned cell."""
        self._write_npz(_shard(cell, start, stop), arrays, self.made_by(cell))

    def write_samples(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's pictures."""
        self._write_npz(_pictures(cell), arrays, self.made_by(cell))

    def write_evolution(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's trajectories."""
        self._write_npz(_evolution(cell), arrays, self.made_by(cell))

    def write_reference(self, name: str, arrays: Arrays) -> None:
        """Write reference data."""
        self._write_npz(self._reference(name), arrays)

    def write_made(self, digest: str, record: Mapping[str, Any]) -> None:
        """Write what a model or an extractor does."""
        self._write(_made(digest), record)

    def write_log(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file at the top, such as ``looks.json``."""
        self._write(name, value)

    def plan(self, cell: str, record: Record) -> None:
        """Say that a cell belongs to this run, with the identity columns of its row. A cell already planned alike is left alone."""
        place, made_by = _part(cell, CELL), str(record.get("made_by") or "")
        try:
            if self._json(place) == record:
                return
        except (FileNotFoundError, Damaged):
            pass
        self._write(place, record, made_by)
        self._makers[cell] = made_by

    def _write(self, place: str, value: Mapping[str, Any], made_by: str = "") -> None:
        self._changes(place)
        sealed.write_json(self._inside(place), value, place, made_by)

    def _write_npz(self, place: str, arrays: Arrays, made_by: str = "") -> None:
        self._changes(place)
        sealed.write_npz(self._inside(place), arrays, place, made_by)

    def _changes(self, place: str) -> None:
        """What has to be done before a file is written, moved or deleted."""
        self._held.forget(place)
        if self._held.due:
            self.write_run(self._held.due)

    @property
    def changes(self) -> int:
        """Files written, moved or deleted through this object, counted; what had no use for any left the directory as it was."""
        return self._held.changes

    def delete(self, cell: str, name: str) -> None:
        """Delete a part of a cell, if it is there."""
        self._changes(_part(cell, name))
        self.part(cell, name).unlink(missing_ok=True)

    def _inside(self, place: str) -> Path:
        """The path of a place, in a folder that is none of somebody else's.

        Raises:
            ValueError: a folder on the way is a symbolic link.
        """
        path = self.path / place
        for parent in path.parents[: len(Path(place).parts) - 1]:
            _refuse_link(parent)
        return path

    # -- what is there ---------------------------------------------------------------------------------------------------------

    def cells(self) -> list[str]:
        """Keys of the planned cells, sorted."""
        return sorted(path.parent.name for path in (self.path / "parts").glob(f"*/{CELL}"))

    def ranges(self, cell: str, samples: int) -> list[tuple[int, int]]:
        """The shards ``(start, stop)`` that [0, ``samples``) consists of: all of one size but the last.

        They do not depend on how the cell came to have its samples: extended in steps or at once, the same batches are summed in the same
        order. A shard that an earlier number of samples cut short is kept, and used again when that number is asked for again.
        """
        size = self.shard_size(cell)
        if not size:  # of a run from before
            return self._listed(cell)
        return [(start, min(start + size, samples)) for start in range(0, samples, size)]

    def missing(self, cell: str, samples: int) -> list[tuple[int, int]]:
        """Those of :meth:`ranges` that no file claims to hold, in order; whether one does hold it is found when it is read."""
        return [(start, stop) for start, stop in self.ranges(cell, samples) if not self.shard(cell, start, stop).is_file()]

    def _listed(self, cell: str) -> list[tuple[int, int]]:
        matches = (_SHARD.fullmatch(path.name) for path in self.part(cell, CELL).parent.glob("*-*.npz"))
        return sorted((int(match[1]), int(match[2])) for match in matches if match)

    def shard_size(self, cell: str) -> int:
        """Samples of a whole shard of a cell, which stays what it was when the cell was planned first; 0 where nothing says it."""
        size = (self.read(cell, MADE) or {}).get("shard")
        return size if isinstance(size, int) and size > 0 else 0

    def drop_shard(self, cell: str, start: int, stop: int) -> None:
        """Delete a shard, so that it is sampled again."""
        self.shard(cell, start, stop).unlink(missing_ok=True)

    # -- setting aside ---------------------------------------------------------------------------------------------------------

    def mend(self, cell: str) -> None:
        """Set aside the files of a cell, but for its shards, that are not what their names say, so that they are made again; say which."""
        readers: dict[str, Callable[..., object]] = {}
        home = self.part(cell, CELL).parent
        for name in sorted(os.listdir(home)) if home.is_dir() else ():
            if name != CELL and name.endswith((".json", ".npz")) and _SAFE.fullmatch(name) and not _SHARD.fullmatch(name):
                readers[_part(cell, name)] = self._sound if name.endswith(".npz") else self._json
        readers |= dict.fromkeys((_pictures(cell), _evolution(cell)), self._sound)
        for place, read in readers.items():
            pin = (self._pinned(cell),) if place.endswith(INFLUENCE) else ()
            self._mended(place, read, self.made_by(cell), *pin)

    def mend_shards(self, cell: str) -> None:
        """The same for the shards of a cell, which can be large."""
        for start, stop in self._listed(cell):
            self._mended(_shard(cell, start, stop), self._sound, self.made_by(cell))

    def mend_references(self) -> None:
        """The same for reference data."""
        for path in sorted((self.path / "reference").glob("[!.]*.npz")):
            self._mended(f"reference/{path.name}", self._sound)

    def _mended(self, place: str, read: Callable[..., object], *expected: str | None) -> None:
        try:
            read(place, *expected)
        except FileNotFoundError:
            pass
        except Damaged as fault:
            self._move(self.path / place, self.path / ASIDE / "damaged" / place.replace("/", "."))
            log.warning("%s was damaged: %s. It is set aside, and made again.", self.path / place, fault)

    def set_aside(self, cell: str, why: str) -> None:
        """Move everything that belongs to a cell out of the way, and keep it with the reason."""
        for path in (self.samples(cell), self.evolution(cell)):
            if path.exists():
                self._move(path, self.part(cell, CELL).parent / f"kept-{path.name}", free=False)
        write_json(self.part(cell, WHY), {"why": why})
        self._move(self.part(cell, CELL).parent, self.path / ASIDE / cell)
        self._makers.pop(cell, None)

    def made_aside(self, cell: str) -> list[tuple[str, dict[str, Any]]]:
        """Folders of a cell that were set aside, the latest first, each with its ``made.json``."""
        folders = sorted((self.path / ASIDE).glob(f"{_checked(cell)}.*"), key=lambda path: (len(path.name), path.name), reverse=True)
        found = []
        for folder in folders:
            try:
                found.append((folder.name, sealed.read_json(folder / MADE, _part(cell, MADE))))
            except (FileNotFoundError, Damaged):
                continue
        return found

    def restore(self, cell: str, folder: str) -> None:
        """Bring back a cell that was set aside, from one of :meth:`made_aside`; there must be no such cell now."""
        home = self.part(cell, CELL).parent
        self._changes(_part(cell, CELL))
        self._held.forget_folder(home.relative_to(self.path).as_posix())
        shutil.move(self.path / ASIDE / folder, home)
        (home / WHY).unlink(missing_ok=True)
        for path in (self.samples(cell), self.evolution(cell)):
            kept = home / f"kept-{path.name}"
            if kept.exists():
                path.parent.mkdir(exist_ok=True)
                kept.replace(path)
        self._makers.pop(cell, None)

    def aside(self) -> list[Aside]:
        """What was set aside, sorted by name."""
        found = []
        for path in sorted((self.path / ASIDE).glob(f"*/{WHY}")):
            cell, record = path.parent.name.rpartition(".")[0], read_json(path.parent / CELL) or {}
            record.pop(sealed.KEY, None)
            found.append(Aside(cell, record, str((read_json(path) or {}).get("why") or "")))
        return found

    def set_all_aside(self, why: str) -> int:
        """Move all cells and references out of the way, as those of a run that nothing is proven of; how many cells there were."""
        cells = sorted(path.name for path in (self.path / "parts").iterdir() if path.is_dir())
        for cell in cells:
            self.set_aside(cell, why)
        if (self.path / "reference").exists():
            self._move(self.path / "reference", self.path / ASIDE / "reference")
        return len(cells)

    def _move(self, source: Path, target: Path, *, free: bool = True) -> None:
        """Move a file or a folder, to a name with the next free number unless ``free`` is off."""
        place = source.relative_to(self.path).as_posix()
        self._changes(place)
        self._held.forget_folder(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        numbered = (target.with_name(f"{target.name}.{n}") for n in range(1, 1 << 30))
        shutil.move(source, next(path for path in numbered if not path.exists()) if free else target)


def pictures_at(path: Path) -> Arrays | None:
    """The pictures or trajectories at a path that :meth:`RunDir.samples` or :meth:`RunDir.evolution` gave; None if there are none."""
    run, cell = RunDir(path.parent.parent), path.stem
    return run.read_evolution(cell.removesuffix("-path")) if cell.endswith("-path") else run.read_samples(cell)


CELL, MADE, QUALITY, TIMING, INFLUENCE, WHY = "cell.json", "made.json", "quality.json", "timing.json", "influence.npz", "why.json"
PIN = "influence"
"""Item of ``quality.json`` with the digest of the influence values behind it."""


def _part(cell: str, name: str) -> str:
    return f"parts/{_checked(cell)}/{_checked(name)}"


def _shard(cell: str, start: int, stop: int) -> str:
    return _part(cell, f"{start:08d}-{stop:08d}.npz")


def _pictures(cell: str) -> str:
    return f"samples/{_checked(cell)}.npz"


def _evolution(cell: str) -> str:
    return f"samples/{_checked(cell)}-path.npz"


def _made(digest: str) -> str:
    return f"made/{_checked(digest)}.json"


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise ValueError(f"{folder} is a symbolic link, and a run would write through it; remove it or choose another folder with --out")


def _stranger(path: Path) -> str:
    """What makes a folder something else than a run directory, in words; "" if it is one, or empty."""
    names = {entry.name for entry in path.iterdir() if not _STRAY.fullmatch(entry.name)}
    if "run.json" in names:
        known = read_json(path / "run.json")
        ours = {LOCK, "parts"} <= names if known is None else sealed.KEY in known or {"suite", "provenance"} <= known.keys()
        return "" if ours else "its run.json is another program's"
    made = names == {LOCK} or {LOCK, "parts"} <= names  # killed before run.json was there, or it is gone
    strangers = sorted(names - LAYOUT if made else names)
    return f"it holds {strangers[0]!r}" if strangers else ""


def _checked(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a file of a run; use letters, digits and . _ = + -")
    return name
