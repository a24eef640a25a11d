"""Writing into a run directory: under a lock, atomically, sealed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from ..record import Record
from . import sealed
from .disk.files import PART
from .fingerprint import hash_of
from .layout import (
    ASIDE,
    CELL,
    INFLUENCE,
    LOCK,
    OPENED,
    PIN,
    QUALITY,
    STRAY,
    evolution_of,
    made_of,
    part_of,
    pictures_of,
    refuse_link,
    refuse_links,
    refuse_strange_lock,
    refuse_unwritable,
    shard_of,
    stranger_in,
)
from .reading import RunReader
from .sealed import Arrays, Damaged
from .sharing import FOLDER as CLAIMS
from .sharing import BusyError, leading, refuse_busy
from .write_errors import missing_folder_error, unwritable

__all__ = ["BusyError", "RunWriter"]


@dataclass(frozen=True)
class RunWriter(RunReader):
    """A run directory as it is written. Make one with :meth:`create`."""

    @classmethod
    def create(cls, path: Path | str) -> Self:
        """The run directory at ``path``, made if it does not exist.

        Raises:
            ValueError: see :meth:`at`.
        """
        run = cls.at(path)
        run._make()
        return run

    @classmethod
    def at(cls, path: Path | str, *, join: bool = False) -> Self:
        """The run directory that is at ``path``, or may be made there; nothing is written.

        Args:
            path: of the folder.
            join: whether another process may run there.

        Raises:
            ValueError: ``path`` is a file, cannot be written, is a folder that holds something
                else, or another process runs there (:class:`BusyError`).
        """
        path = Path(path)
        try:
            if path.exists() and not path.is_dir():
                raise ValueError(
                    f"{path} is a file, not a run directory; choose another folder with --out"
                )
            stranger = stranger_in(path) if path.exists() else ""
            if stranger:
                raise ValueError(
                    f"{path} is not a run directory ({stranger}); choose an "
                    "empty or new folder with --out"
                )
            for name in ("parts", "made", "reference", "samples", CLAIMS, ASIDE):
                refuse_links(path / name)
            refuse_strange_lock(path / LOCK)
            refuse_unwritable(path)
        except OSError as error:
            raise unwritable(path, error) from error
        run = cls(path)
        if (path / LOCK).exists() and not join:
            refuse_busy(path)
        return run

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOCK).touch()  # first, so that a kill leaves a folder that is known again
            (self.path / "parts").mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock on this folder, made if it does not exist, and clear what a killed process
        left half-written.

        When the process ends, another one can take the lock (:mod:`.sharing`).

        Raises:
            BusyError: another process holds the lock.
            ValueError: the folder cannot be made.
        """
        self._make()
        with leading(self.path) as lead:
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
        """Refuse to write on where that would be of no use.

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
        return self._contents.lead is not None and self._contents.lead.held

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        self._contents.pending_run = None
        self._write("run.json", run)

    def announce(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json`` before anything else is.

        If only the moment and the command are new, not unless something else is.
        """
        if not self._contents.defer(run, self.run()):
            self.write_run(run)

    def write(self, cell: str, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON part of a planned cell."""
        self._write(part_of(cell, name), value, self.made_by(cell))

    def write_score(self, cell: str, quality: Mapping[str, Any], influence: Arrays) -> None:
        """Write the quality columns of a planned cell with their influence values."""
        pinned = {}
        if influence:
            place = part_of(cell, INFLUENCE)
            pinned = {PIN: {"sha256": self._write_npz(place, influence, self.made_by(cell))}}
        self.write(cell, QUALITY, {**quality, **pinned})

    def write_shard(
        self,
        cell: str,
        start: int,
        stop: int,
        arrays: Arrays,
        then: Callable[[], object] | None = None,
    ) -> None:
        """Write the shard with samples ``start`` … ``stop - 1`` of a planned cell; ``then`` is called
        once it is there, maybe by another thread.
        """
        self._write_npz(shard_of(cell, start, stop), arrays, self.made_by(cell), then)

    def has_now(self, cell: str, start: int, stop: int) -> bool:
        """Return True if a shard is there now, past the file system's cache.

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
        self._write_npz(pictures_of(cell), arrays, self.made_by(cell))

    def write_evolution(self, cell: str, arrays: Arrays) -> None:
        """Write a cell's trajectories."""
        self._write_npz(evolution_of(cell), arrays, self.made_by(cell))

    def write_reference(self, name: str, arrays: Arrays) -> None:
        """Write reference data."""
        self._write_npz(self._reference(name), arrays)

    def write_made(self, digest: str, record: Mapping[str, Any]) -> None:
        """Write what a model or an extractor does."""
        self._write(made_of(digest), record)

    def write_opened(self, digest: str, files: Mapping[str, str]) -> None:
        """Write which files a model opened late; any process of a run may, at any time."""
        place = made_of(f"{digest}{OPENED}{hash_of(dict(files))}")
        if not (self.path / place).exists():
            self._write(place, {"files": dict(files)})

    def write_log(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file at the top, such as ``looks.json``."""
        self._write(name, value)

    def plan(self, cell: str, record: Record) -> None:
        """Say that a cell belongs to this run, with the identity columns of its row.

        A cell already planned alike is left alone.
        """
        place, made_by = part_of(cell, CELL), str(record.get("made_by") or "")
        try:
            if self._contents.json(place) == record:
                return
        except (FileNotFoundError, Damaged):
            pass
        self._write(place, record, made_by)

    def delete(self, cell: str, name: str) -> None:
        """Delete a part of a cell, if it is there."""
        self._changes(part_of(cell, name))
        self._contents.settle()
        self.part(cell, name).unlink(missing_ok=True)

    def drop_shard(self, cell: str, start: int, stop: int) -> None:
        """Delete a shard, so that it is sampled again."""
        self._changes(shard_of(cell, start, stop))
        self._contents.settle()
        self.shard(cell, start, stop).unlink(missing_ok=True)

    @property
    def changes(self) -> int:
        """Files written, moved or deleted through this object, counted.

        What had no use for any left the directory as it was.
        """
        return self._contents.changes

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let written files wait for each other, to be flushed at once: each is there some
        milliseconds later (:mod:`.disk.behind`), and all are at the end.

        Raises:
            OSError: one of them cannot be written.
        """
        with self._contents.together():
            yield

    def _write(self, place: str, value: Mapping[str, Any], made_by: str = "") -> None:
        self._changes(place)
        file = sealed.sealed_json(value, place, made_by, spread="/" not in place)
        self._contents.write(place, self._inside(place), file)

    def _write_npz(
        self,
        place: str,
        arrays: Arrays,
        made_by: str = "",
        then: Callable[[], object] | None = None,
    ) -> str:
        self._changes(place)
        file = sealed.sealed_npz(arrays, place, made_by)
        self._contents.write(place, self._inside(place), file, then)
        return file.seal.sha256

    def _changes(self, place: str) -> None:
        """Prepare for a file to be written, moved or deleted."""
        self.check()
        self._contents.forget(place)
        if self._contents.pending_run:
            self.write_run(self._contents.pending_run)

    def _inside(self, place: str) -> Path:
        """Return the path of a place, none of whose folders may be a link.

        Raises:
            ValueError: a folder on the way is a symbolic link.
        """
        path = self.path / place
        folder = str(self.path)
        for name in place.split("/")[:-1]:
            folder = f"{folder}/{name}"
            if os.path.islink(folder):
                refuse_link(Path(folder))
        return path
