"""Run directory for a run: reading, writing, and setting aside of damaged or outdated parts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

from ..values import Record
from . import sealed
from .behaviour_fingerprint import hash_of
from .files import PART, read_json, write_json
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
    """Cell that was set aside: its key, the identity columns of its row, and the reason ``why``."""

    cell: str
    record: Record
    why: str


@dataclass(frozen=True)
class RunDir(RunReader):
    """Run directory that can be written; made by :meth:`at` or :meth:`open`.

    Damaged files, and cells made by other code than the present, are moved to ``set-aside/``.
    """

    @classmethod
    def at(cls, path: Path | str, *, join: bool = False) -> Self:
        """Return the existing or future run directory at ``path``. Nothing is written.

        Raises:
            ValueError: the folder cannot be one (:func:`.layout.check_run_folder`).
            BusyError: another process runs there, and ``join`` is False.
        """
        path = Path(path)
        check_run_folder(path)
        run = cls(path)
        if (path / LOCK).exists() and not join:
            check_not_busy(path)
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Create the run directory, and hold its lead (:mod:`.sharing`) during the block.

        Half-written files are deleted first, unless other processes may be writing.

        Raises:
            BusyError: another process leads.
            ValueError: the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOCK).touch()  # first: check_run_folder knows a folder by it after a kill
            (self.path / "parts").mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable_error(self.path, error) from error
        with hold_lead(self.path) as lead:
            if not (self.path / CLAIMS).is_dir():  # with it, other processes may be writing
                self.clear_strays()
            with self._contents.exclusive(lead):
                yield

    def clear_strays(self) -> None:
        """Delete the half-written files of killed processes."""
        for pattern in (".*", "parts/*/.*", "made/.*", "reference/.*", "samples/.*"):
            for stray in self.path.glob(pattern + PART):
                if STRAY.fullmatch(stray.name):
                    stray.unlink(missing_ok=True)

    def check(self) -> None:
        """Check that this process may go on writing.

        Raises:
            BusyError: another process took the lead that this one had (:meth:`lock`).
            ValueError: the folder is gone.
        """
        if not (self.path / LOCK).exists():
            raise missing_folder_error(self.path)
        if self._contents.lead is not None:
            self._contents.lead.check()

    @property
    def leads(self) -> bool:
        """Return True if this process still has the lead (:meth:`lock`)."""
        return self._contents.lead is not None and self._contents.lead.is_held

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run`` as ``run.json`` now, and drop a deferred version."""
        self._contents.pending_run = None
        self._write("run.json", run)

    def write_or_defer_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``, or defer it if only start time, command or conditions changed."""
        if not self._contents.defer_run(run, self.read_run()):
            self.write_run(run)

    def write(self, cell: str, name: str, value: Mapping[str, Any]) -> None:
        """Write the JSON file ``name`` of a planned cell."""
        self._write(part_place(cell, name), value, self.made_by(cell))

    def write_score(self, cell: str, quality: Mapping[str, Any], influence: Arrays) -> None:
        """Write ``quality.json`` of a planned cell, and ``influence.npz`` if there are arrays."""
        pinned = {}
        if influence:
            place = part_place(cell, INFLUENCE)
            pinned = {PIN: {"sha256": self._write(place, influence, self.made_by(cell))}}
        self.write(cell, QUALITY, {**quality, **pinned})

    def write_shard(self, cell: str, start: int, stop: int, arrays: Arrays) -> None:
        """Write the shard with samples ``start`` … ``stop - 1`` of a planned cell."""
        self._write(shard_place(cell, start, stop), arrays, self.made_by(cell))

    def has_shard_now(self, cell: str, start: int, stop: int) -> bool:
        """Return True if a shard exists now, even on a network file system.

        A network file system may report a new file as missing for half a minute. So a file is made
        and removed in the folder, after which the file system asks the server again.
        """
        shard = self.shard_path(cell, start, stop)
        if not shard.is_file():
            refresh = shard.with_name(f".refresh.{uuid4().hex[:12]}{PART}")
            with suppress(OSError):
                refresh.touch()
                refresh.unlink()
        return shard.is_file()

    def write_pictures(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's samples for reports, as arrays by name."""
        self._write(pictures_place(cell), arrays, self.made_by(cell))

    def write_trajectories(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's trajectories for reports, as arrays by name."""
        self._write(trajectories_place(cell), arrays, self.made_by(cell))

    def write_reference(self, name: str, arrays: Arrays) -> None:
        """Write reference data, arrays by name, under a name for :meth:`read_reference`."""
        self._write(self._reference(name), arrays)

    def write_fingerprint(self, digest: str, record: Mapping[str, Any]) -> None:
        """Write the fingerprint of a model or an extractor under its digest."""
        self._write(fingerprint_place(digest), record)

    def write_late_file_hashes(self, digest: str, files: Mapping[str, str]) -> None:
        """Write hashes of files that a model opened after loading; any process may call this."""
        place = fingerprint_place(f"{digest}{OPENED}{hash_of(dict(files))}")
        if not (self.path / place).exists():
            self._write(place, {"files": dict(files)})

    def write_top_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file at the top of the run directory, such as ``looks.json``."""
        self._write(name, value)

    def plan(self, cell: str, record: Record) -> None:
        """Add a cell to this run: write its row's identity columns as ``cell.json``."""
        place, made_by = part_place(cell, CELL), str(record.get("made_by") or "")
        with suppress(FileNotFoundError, DamagedError):
            if self._contents.read(place) == record:
                return
        self._write(place, record, made_by)

    def delete(self, cell: str, name: str) -> None:
        """Delete the file ``name`` of a cell if it exists."""
        self._prepare_change(part_place(cell, name))
        self.part_path(cell, name).unlink(missing_ok=True)

    def drop_shard(self, cell: str, start: int, stop: int) -> None:
        """Delete a shard if it exists, so that it is sampled again."""
        self.delete(cell, self.shard_path(cell, start, stop).name)

    @property
    def changes(self) -> int:
        """Counter that rises with each write, move or deletion through this object."""
        return self._contents.changes

    def set_aside_damaged_parts(self, cell: str) -> None:
        """Move a cell's damaged files to ``set-aside/``, but no shards and no ``cell.json``."""
        names = (name for name in self.file_names(cell) if SAFE.fullmatch(name) and name != CELL)
        places = [part_place(cell, name) for name in names if not SHARD.fullmatch(name)]
        for place in (*places, pictures_place(cell), trajectories_place(cell)):
            if place.endswith((".json", ".npz")):
                pin = self._pinned_digest(cell) if place.endswith(INFLUENCE) else None
                self._set_aside_if_damaged(place, self.made_by(cell), pin)

    def set_aside_damaged_shards(self, cell: str) -> None:
        """Move a cell's damaged shards to ``set-aside/``. This reads all its shards."""
        for start, stop in sorted(self.stored_shards(cell)):
            self._set_aside_if_damaged(shard_place(cell, start, stop), self.made_by(cell))

    def set_aside_damaged_references(self) -> None:
        """Move damaged reference data to ``set-aside/``."""
        for path in sorted((self.path / "reference").glob("[!.]*.npz")):
            self._set_aside_if_damaged(f"reference/{path.name}")

    def set_aside(self, cell: str, why: str) -> None:
        """Move all files of a cell to ``set-aside/``, and write the reason ``why`` there."""
        home = self.part_path(cell, CELL).parent
        for path in (self.pictures_path(cell), self.trajectories_path(cell)):
            if path.exists():
                self._prepare_change(path.relative_to(self.path).as_posix())
                home.mkdir(parents=True, exist_ok=True)
                shutil.move(path, home / f"kept-{path.name}")  # perhaps to another disk
        write_json(home / WHY, {"why": why})
        self._move(home, self.path / ASIDE / cell)

    def keys_set_aside(self) -> set[str]:
        """Return the keys of the cells, and the names of other folders, that were set aside."""
        return {path.name.rpartition(".")[0] for path in (self.path / ASIDE).glob("*.*")}

    def folders_set_aside(self, cell: str) -> list[tuple[str, dict[str, Any]]]:
        """Return (name, ``made.json``) of a cell's set-aside folders, if sound, latest first."""
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
        """Move a cell back from its set-aside ``folder``. The cell must have no folder now."""
        home = self.part_path(cell, CELL).parent
        self._prepare_change(part_place(cell, CELL))
        self._contents.forget_folder(home.relative_to(self.path).as_posix())
        shutil.move(self.path / ASIDE / folder, home)
        (home / WHY).unlink(missing_ok=True)
        for path in (self.pictures_path(cell), self.trajectories_path(cell)):
            saved = home / f"kept-{path.name}"
            if saved.exists():
                self._prepare_change(path.relative_to(self.path).as_posix())
                path.parent.mkdir(exist_ok=True)
                saved.replace(path)

    def cells_set_aside(self) -> list[CellSetAside]:
        """Return the cells that were set aside, sorted by folder name."""
        cells = []
        for path in sorted((self.path / ASIDE).glob(f"*/{WHY}")):
            cell, record = path.parent.name.rpartition(".")[0], read_json(path.parent / CELL) or {}
            record.pop(sealed.KEY, None)
            cells.append(CellSetAside(cell, record, str((read_json(path) or {}).get("why") or "")))
        return cells

    def set_all_aside(self, why: str, *, restorable: bool = True) -> int:
        """Set aside all cells and references. Return the number of cells.

        With ``restorable`` False, later runs can restore no cell that was ever set aside.
        """
        cells = sorted(path.name for path in (self.path / "parts").iterdir() if path.is_dir())
        for cell in cells:
            self.set_aside(cell, why)
        if (self.path / "reference").exists():
            self._move(self.path / "reference", self.path / ASIDE / "reference")
        if not restorable:
            for record in sorted((self.path / ASIDE).glob(f"*/{MADE}")):
                record.rename(record.with_name(f"past-{MADE}"))
        return len(cells)

    def _write(self, place: str, value: Mapping[str, Any], made_by: str = "") -> str:
        """Write arrays or a JSON object, by the suffix of the place; return its SHA-256."""
        self._prepare_change(place)
        if place.endswith(".npz"):
            file = sealed.sealed_npz(value, place, made_by)
        else:
            file = sealed.sealed_json(value, place, made_by, spread="/" not in place)
        self._contents.write(place, self._path_without_links(place), file)
        return file.seal.sha256

    def _prepare_change(self, place: str) -> None:
        """Prepare a change: check the lead, drop the cached file, write a deferred ``run.json``."""
        self.check()
        self._contents.forget(place)
        if self._contents.pending_run:
            self.write_run(self._contents.pending_run)

    def _path_without_links(self, place: str) -> Path:
        """Return the path of a place. Raises a ValueError if a folder in it is a symbolic link."""
        folder = self.path
        for name in place.split("/")[:-1]:
            folder /= name
            check_not_link(folder)
        return self.path / place

    def _set_aside_if_damaged(
        self, place: str, made_by: str | None = None, sha256: str | None = None
    ) -> None:
        try:
            self._contents.check(place, made_by, sha256)
        except FileNotFoundError:
            pass
        except DamagedError as fault:
            self._move(self.path / place, self.path / ASIDE / "damaged" / place.replace("/", "."))
            log.warning(
                "%s was damaged: %s. It is set aside, and made again.", self.path / place, fault
            )

    def _move(self, source: Path, target: Path) -> None:
        """Move a file or folder to TARGET.N with the first free N."""
        place = source.relative_to(self.path).as_posix()
        self._prepare_change(place)
        self._contents.forget_folder(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        numbered = (target.with_name(f"{target.name}.{n}") for n in range(1, 1 << 30))
        shutil.move(source, next(path for path in numbered if not path.exists()))
