"""The run directory as a run uses it: read, written, and cleared of what is damaged or was made
by other code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..record import Record
from . import sealed
from .files import read_json, write_json
from .layout import (
    ASIDE,
    CELL,
    INFLUENCE,
    MADE,
    SAFE,
    SHARD,
    WHY,
    checked,
    evolution_of,
    part_of,
    pictures_of,
    shard_of,
)
from .reading import log
from .sealed import Damaged
from .writing import RunWriter


class Aside(NamedTuple):
    """A cell that was set aside: its key, the identity columns of its row, and why."""

    cell: str
    record: Record
    why: str


@dataclass(frozen=True)
class RunDir(RunWriter):
    """A run directory.

    Make one with :meth:`create` (to write) or :meth:`open` (to read); neither reads more than it is
    asked for.

    What the present code would not make, and what is damaged, is moved to ``set-aside/`` with the
    reason: nothing is deleted.
    """

    def mend(self, cell: str) -> None:
        """Set aside the files of a cell, but for its shards, that are not what their names say,
        so that they are made again; say which.
        """
        readers: dict[str, Callable[..., object]] = {}
        contents = self._contents
        for name in self.names(cell):
            if (
                name != CELL
                and name.endswith((".json", ".npz"))
                and SAFE.fullmatch(name)
                and not SHARD.fullmatch(name)
            ):
                readers[part_of(cell, name)] = (
                    contents.check if name.endswith(".npz") else contents.json
                )
        readers |= dict.fromkeys((pictures_of(cell), evolution_of(cell)), contents.check)
        for place, read in readers.items():
            pin = (self._pinned(cell),) if place.endswith(INFLUENCE) else ()
            self._mended(place, read, self.made_by(cell), *pin)

    def mend_shards(self, cell: str) -> None:
        """Set aside the damaged shards of a cell, which can be large."""
        for start, stop in self._listed(cell):
            self._mended(shard_of(cell, start, stop), self._contents.check, self.made_by(cell))

    def mend_references(self) -> None:
        """Set aside damaged reference data."""
        for path in sorted((self.path / "reference").glob("[!.]*.npz")):
            self._mended(f"reference/{path.name}", self._contents.check)

    def set_aside(self, cell: str, why: str) -> None:
        """Move everything that belongs to a cell out of the way, and keep it with the reason."""
        for path in (self.samples(cell), self.evolution(cell)):
            if path.exists():
                self._move(path, self.part(cell, CELL).parent / f"kept-{path.name}", free=False)
        write_json(self.part(cell, WHY), {"why": why})
        self._move(self.part(cell, CELL).parent, self.path / ASIDE / cell)

    def cells_aside(self) -> set[str]:
        """Keys of the cells that were set aside."""
        return {path.name.rpartition(".")[0] for path in (self.path / ASIDE).glob("*.*")}

    def made_aside(self, cell: str) -> list[tuple[str, dict[str, Any]]]:
        """Folders of a cell that were set aside, the latest first, each with its ``made.json``."""
        folders = sorted(
            (self.path / ASIDE).glob(f"{checked(cell)}.*"),
            key=lambda path: (len(path.name), path.name),
            reverse=True,
        )
        records = []
        for folder in folders:
            try:
                records.append((folder.name, sealed.read_json(folder / MADE, part_of(cell, MADE))))
            except (FileNotFoundError, Damaged):
                continue
        return records

    def restore(self, cell: str, folder: str) -> None:
        """Bring back a cell that was set aside, from one of :meth:`made_aside`.

        There must be no such cell now.
        """
        home = self.part(cell, CELL).parent
        self._changes(part_of(cell, CELL))
        self._contents.forget_folder(home.relative_to(self.path).as_posix())
        shutil.move(self.path / ASIDE / folder, home)
        (home / WHY).unlink(missing_ok=True)
        for path in (self.samples(cell), self.evolution(cell)):
            saved = home / f"kept-{path.name}"
            if saved.exists():
                self._changes(path.relative_to(self.path).as_posix())
                path.parent.mkdir(exist_ok=True)
                saved.replace(path)

    def aside(self) -> list[Aside]:
        """Return the cells that were set aside, sorted by name."""
        cells = []
        for path in sorted((self.path / ASIDE).glob(f"*/{WHY}")):
            cell, record = path.parent.name.rpartition(".")[0], read_json(path.parent / CELL) or {}
            record.pop(sealed.KEY, None)
            cells.append(Aside(cell, record, str((read_json(path) or {}).get("why") or "")))
        return cells

    def set_all_aside(self, why: str, *, returns: bool = True) -> int:
        """Move all cells and references out of the way, as nothing proves them; return the number
        of cells.

        Args:
            why: the reason.
            returns: whether a cell comes back where the present code makes the same; without, none
                that was ever set aside does.
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

    def _mended(self, place: str, read: Callable[..., object], *expected: str | None) -> None:
        try:
            read(place, *expected)
        except FileNotFoundError:
            pass
        except Damaged as fault:
            self._move(self.path / place, self.path / ASIDE / "damaged" / place.replace("/", "."))
            log.warning(
                "%s was damaged: %s. It is set aside, and made again.", self.path / place, fault
            )

    def _move(self, source: Path, target: Path, *, free: bool = True) -> None:
        """Move a file or a folder, to a name with the next free number unless ``free`` is off."""
        place = source.relative_to(self.path).as_posix()
        self._changes(place)
        self._contents.forget_folder(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        numbered = (target.with_name(f"{target.name}.{n}") for n in range(1, 1 << 30))
        shutil.move(
            source, next(path for path in numbered if not path.exists()) if free else target
        )
