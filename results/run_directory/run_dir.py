"""The run directory as a run uses it: read, written, and cleared of what is damaged or was made
by other code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

from ..record import Record
from . import sealed
from .files import PART, read_json, write_json
from .fingerprint import hash_of
from .layout import (
    ASIDE,
    CELL,
    INFLUENCE,
    LOCK,
    MADE,
    OPENED,
    PIN,
    QUALITY,
    SAFE,
    SHARD,
    STRAY,
    WHY,
    check_file_name,
    check_not_link,
    check_run_folder,
    fingerprint_place,
    missing_folder_error,
    part_place,
    pictures_place,
    shard_place,
    trajectories_place,
    unwritable_error,
)
from .reading import RunReader, log
from .sealed import Arrays, DamagedError
from .sharing import FOLDER as CLAIMS
from .sharing import check_not_busy, hold_lead


class CellSetAside(NamedTuple):
    """Cell that was set aside: its key, the identity columns of its row, and the reason."""

    cell: str
    record: Record
    why: str


@dataclass(frozen=True)
class RunDir(RunReader):
    """Run directory as a run uses it; make one with :meth:`create` (to write) or :meth:`open`.

    What the present code would not make, and what is damaged, is moved to ``set-aside/`` with the
    reason: nothing is deleted.
    """

    @classmethod
    def create(cls, path: Path | str) -> Self:
        """Make the run directory at ``path`` if it does not exist; exceptions as :meth:`at`."""
        run = cls.at(path)
        run._make()
        return run

    @classmethod
    def at(cls, path: Path | str, *, join: bool = False) -> Self:
        """Return the run directory that exists or can be made at ``path``; nothing is written.

        With ``join`` another process may run there.

        Raises:
            ValueError: it cannot be one (:func:`.layout.check_run_folder`).
            BusyError: another process runs there.
        """
        path = Path(path)
        check_run_folder(path)
        run = cls(path)
        if (path / LOCK).exists() and not join:
            check_not_busy(path)
        return run

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOCK).touch()  # first, so that a kill leaves a folder that is known again
            (self.path / "parts").mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable_error(self.path, error) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock on this folder, made if need be and cleared of half-written files.

        Raises:
            BusyError: another process holds the lock.
            ValueError: the folder cannot be made.
        """
        self._make()
        with hold_lead(self.path) as lead:
            if not (self.path / CLAIMS).is_dir():  # others write while they sample
                self.clear_strays()
            with self._contents.exclusive(lead):
                yield

    def clear_strays(self) -> None:
        """Delete what killed processes left half-written."""
        for pattern in (".*", "parts/*/.*", "made/.*", "reference/.*", "samples/.*"):
            for stray in self.path.glob(pattern + PART):
                if STRAY.fullmatch(stray.name):
                    stray.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise if writing on would be of no use.

        Raises:
            BusyError: under :meth:`lock`, another process has it by now.
            ValueError: the folder is gone.
        """
        if not (self.path / LOCK).exists():
            raise missing_folder_error(self.path)
        if self._contents.lead is not None:
            self._contents.lead.check()

    @property
    def leads(self) -> bool:
        """Return True if this process still holds the lock."""
        return self._contents.lead is not None and self._contents.lead.is_held

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        self._contents.pending_run = None
        self._write("run.json", run)

    def announce(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``; defer it to the next file if only time and command changed."""
        if not self._contents.defer(run, self.run()):
            self.write_run(run)

    def write(self, cell: str, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON part of a planned cell."""
        self._write(part_place(cell, name), value, self.made_by(cell))

    def write_score(self, cell: str, quality: Mapping[str, Any], influence: Arrays) -> None:
        """Write the quality columns of a planned cell with their influence values."""
        pinned = {}
        if influence:
            place = part_place(cell, INFLUENCE)
            pinned = {PIN: {"sha256": self._write_npz(place, influence, self.made_by(cell))}}
        self.write(cell, QUALITY, {**quality, **pinned})

    def write_shard(self, cell: str, start: int, stop: int, arrays: Arrays) -> None:
        """Write the shard with samples ``start`` … ``stop - 1`` of a planned cell."""
        self._write_npz(shard_place(cell, start, stop), arrays, self.made_by(cell))

    def has_now(self, cell: str, start: int, stop: int) -> bool:
        """Return True if a shard exists now, bypassing the file system's cache.

        A network file system remembers for half a minute that a file was not there. It asks again
        where this machine has changed the folder since.
        """
        shard = self.shard(cell, start, stop)
        if not shard.is_file():
            look = shard.with_name(f".look.{uuid4().hex[:12]}{PART}")
            with suppress(OSError):
                look.touch()
                look.unlink()
        return shard.is_file()

    def write_samples(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's pictures."""
        self._write_npz(pictures_place(cell), arrays, self.made_by(cell))

    def write_evolution(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's trajectories."""
        self._write_npz(trajectories_place(cell), arrays, self.made_by(cell))

    def write_reference(self, name: str, arrays: Arrays) -> None:
        """Write reference data."""
        self._write_npz(self._reference(name), arrays)

    def write_made(self, digest: str, record: Mapping[str, Any]) -> None:
        """Write the fingerprint of a model or an extractor."""
        self._write(fingerprint_place(digest), record)

    def write_opened(self, digest: str, files: Mapping[str, str]) -> None:
        """Write the hashes of files that a model opened late; any process of a run may call this."""
        place = fingerprint_place(f"{digest}{OPENED}{hash_of(dict(files))}")
        if not (self.path / place).exists():
            self._write(place, {"files": dict(files)})

    def write_log(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file at the top, such as ``looks.json``."""
        self._write(name, value)

    def plan(self, cell: str, record: Record) -> None:
        """Write the row's identity columns as ``cell.json``, which makes a cell part of this run."""
        place, made_by = part_place(cell, CELL), str(record.get("made_by") or "")
        with suppress(FileNotFoundError, DamagedError):
            if self._contents.json(place) == record:
                return
        self._write(place, record, made_by)

    def delete(self, cell: str, name: str) -> None:
        """Delete a part of a cell, if it is there."""
        self._prepare_change(part_place(cell, name))
        self.part(cell, name).unlink(missing_ok=True)

    def drop_shard(self, cell: str, start: int, stop: int) -> None:
        """Delete a shard, so that it is sampled again."""
        self._prepare_change(shard_place(cell, start, stop))
        self.shard(cell, start, stop).unlink(missing_ok=True)

    @property
    def changes(self) -> int:
        """Number of files written, moved or deleted through this object."""
        return self._contents.changes

    def set_aside_damaged_parts(self, cell: str) -> None:
        """Set aside the damaged files of a cell except its shards, and log their names."""
        names = (name for name in self.names(cell) if SAFE.fullmatch(name) and name != CELL)
        places = [part_place(cell, name) for name in names if not SHARD.fullmatch(name)]
        for place in (*places, pictures_place(cell), trajectories_place(cell)):
            if place.endswith((".json", ".npz")):
                read = self._contents.json if place.endswith(".json") else self._contents.check
                pin = (self._pinned_digest(cell),) if place.endswith(INFLUENCE) else ()
                self._set_aside_if_damaged(place, read, self.made_by(cell), *pin)

    def set_aside_damaged_shards(self, cell: str) -> None:
        """Set aside the damaged shards of a cell, which can be large."""
        for start, stop in sorted(self.stored_shards(cell)):
            self._set_aside_if_damaged(
                shard_place(cell, start, stop), self._contents.check, self.made_by(cell)
            )

    def set_aside_damaged_references(self) -> None:
        """Set aside damaged reference data."""
        for path in sorted((self.path / "reference").glob("[!.]*.npz")):
            self._set_aside_if_damaged(f"reference/{path.name}", self._contents.check)

    def set_aside(self, cell: str, why: str) -> None:
        """Move all files of a cell to ``set-aside/``, with the reason."""
        for path in (self.samples(cell), self.evolution(cell)):
            if path.exists():
                self._move(path, self.part(cell, CELL).parent / f"kept-{path.name}", free=False)
        write_json(self.part(cell, WHY), {"why": why})
        self._move(self.part(cell, CELL).parent, self.path / ASIDE / cell)

    def keys_set_aside(self) -> set[str]:
        """Return keys of the cells that were set aside."""
        return {path.name.rpartition(".")[0] for path in (self.path / ASIDE).glob("*.*")}

    def folders_set_aside(self, cell: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the set-aside folders of a cell, latest first, each with its ``made.json``."""
        folders = sorted(
            (self.path / ASIDE).glob(f"{check_file_name(cell)}.*"),
            key=lambda path: (len(path.name), path.name),
            reverse=True,
        )
        records = []
        for folder in folders:
            with suppress(FileNotFoundError, DamagedError):
                record = sealed.read_json(folder / MADE, part_place(cell, MADE))
                records.append((folder.name, record))
        return records

    def restore(self, cell: str, folder: str) -> None:
        """Bring a cell back from one of :meth:`folders_set_aside`, if the cell has no folder now."""
        home = self.part(cell, CELL).parent
        self._prepare_change(part_place(cell, CELL))
        self._contents.forget_folder(home.relative_to(self.path).as_posix())
        shutil.move(self.path / ASIDE / folder, home)
        (home / WHY).unlink(missing_ok=True)
        for path in (self.samples(cell), self.evolution(cell)):
            saved = home / f"kept-{path.name}"
            if saved.exists():
                self._prepare_change(path.relative_to(self.path).as_posix())
                path.parent.mkdir(exist_ok=True)
                saved.replace(path)

    def cells_set_aside(self) -> list[CellSetAside]:
        """Return the cells that were set aside, sorted by name."""
        cells = []
        for path in sorted((self.path / ASIDE).glob(f"*/{WHY}")):
            cell, record = path.parent.name.rpartition(".")[0], read_json(path.parent / CELL) or {}
            record.pop(sealed.KEY, None)
            cells.append(CellSetAside(cell, record, str((read_json(path) or {}).get("why") or "")))
        return cells

    def set_all_aside(self, why: str, *, returns: bool = True) -> int:
        """Set aside all cells and references, as nothing proves them; return the number of cells.

        Without ``returns`` no cell that was ever set aside comes back.
        """
        cells = sorted(path.name for path in (self.path / "parts").iterdir() if path.is_dir())
        for cell in cells:
            self.set_aside(cell, why)
        if (self.path / "reference").exists():
            self._move(self.path / "reference", self.path / ASIDE / "reference")
        if not returns:
            for record in sorted((self.path / ASIDE).glob(f"*/{MADE}")):
                record.rename(record.with_name(f"past-{MADE}"))
        return len(cells)

    def _write(self, place: str, value: Mapping[str, Any], made_by: str = "") -> None:
        self._prepare_change(place)
        file = sealed.sealed_json(value, place, made_by, spread="/" not in place)
        self._contents.write(place, self._path_without_links(place), file)

    def _write_npz(self, place: str, arrays: Arrays, made_by: str = "") -> str:
        self._prepare_change(place)
        file = sealed.sealed_npz(arrays, place, made_by)
        self._contents.write(place, self._path_without_links(place), file)
        return file.seal.sha256

    def _prepare_change(self, place: str) -> None:
        """Prepare for a file to be written, moved or deleted."""
        self.check()
        self._contents.forget(place)
        if self._contents.pending_run:
            self.write_run(self._contents.pending_run)

    def _path_without_links(self, place: str) -> Path:
        """Return the path of a place; a ValueError if one of its folders is a symbolic link."""
        folder = self.path
        for name in place.split("/")[:-1]:
            folder /= name
            check_not_link(folder)
        return self.path / place

    def _set_aside_if_damaged(
        self, place: str, read: Callable[..., object], *expected: str | None
    ) -> None:
        try:
            read(place, *expected)
        except FileNotFoundError:
            pass
        except DamagedError as fault:
            self._move(self.path / place, self.path / ASIDE / "damaged" / place.replace("/", "."))
            log.warning(
                "%s was damaged: %s. It is set aside, and made again.", self.path / place, fault
            )

    def _move(self, source: Path, target: Path, *, free: bool = True) -> None:
        """Move a file or a folder, to a name with the next free number unless ``free`` is off."""
        place = source.relative_to(self.path).as_posix()
        self._prepare_change(place)
        self._contents.forget_folder(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        numbered = (target.with_name(f"{target.name}.{n}") for n in range(1, 1 << 30))
        shutil.move(
            source, next(path for path in numbered if not path.exists()) if free else target
        )
