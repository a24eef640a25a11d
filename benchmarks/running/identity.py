"""Which cells of a run directory the present code would make again: the others are set aside before
anything is computed.

A cell's ``made.json`` holds the fingerprint of its sampler on its own grid, and the digests of its
model and its extractor, whose fingerprints lie in ``made/``. A digest names a record; what is
compared are the records (:func:`.fingerprint.difference`), so that a directory that another machine
made stays valid although the last digits of its numbers are others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ...models.loaders.user_files import difference_of, file_hash
from ...results.record import Record
from ...results.run_directory.fingerprint import Fingerprint, difference, hash_of
from ...results.run_directory.places import CELL, MADE
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ..sampling.fingerprint.model import AT_LEVEL
from ..sampling.shard import whole_shard
from ..suites.cell import Cell

Probe = Callable[[Cell], Fingerprint]
"""Gives the fingerprint of a cell's sampler."""

UNPROVEN = "it is from a version of samplerbench that did not keep what made it"


class Makers(NamedTuple):
    """What the cells of one model are made by, beside their samplers.

    The extractor is None where nothing is scored by features. Files that the model opens late are
    named from ``folder``.
    """

    model: Fingerprint
    extractor: Fingerprint | None
    folder: Path = Path()


class Identity:
    """Admits cells to a run directory.

    Args:
        run: the directory, locked.
        makers: by the name of the model in the suite.
        probe: see :data:`Probe`; called once a cell.
        writes: whether what is new is put on record; without, the directory is only looked at, and
            need not be locked.
    """

    def __init__(
        self, run: RunDir, makers: Mapping[str, Makers], probe: Probe, *, writes: bool = True
    ) -> None:
        self.run, self.makers, self.probe, self._writes = run, makers, probe, writes
        self._aside = self.run.cells_aside()
        self._known = {digest: _parsed(record) for digest, record in run.made().items()}
        self._digests = {
            name: (self._digest_of(made.model, made.folder), self._digest_of(made.extractor))
            for name, made in makers.items()
        }

    def admit(self, cell: Cell, record: Record) -> bool:
        """Plan a cell, so that all its parts are of the present code: one of other code is set
        aside, one set aside earlier comes back.

        Args:
            cell: to be planned.
            record: identity columns of its row.

        Returns:
            Whether it has parts beside what is written here.
        """
        self.inspect(cell)
        sampler, (model, extractor) = self.probe(cell), self._digests[cell.model]
        there = self.there(cell.key)
        stored = (self.run.read(cell.key, MADE) or {}) if there else self._brought_back(cell)
        # those on record, so that their digests stay what they are
        kept = self._on_record(stored, sampler) or sampler
        model, extractor = str(stored.get("model", model)), str(stored.get("extractor", extractor))
        self.run.plan(
            cell.key,
            record | {"made_by": f"{kept.digest[:8]}-{model[:8]}-{extractor[:8] or 'none'}"},
        )
        if not stored:
            made = {
                "sampler": kept.to_json(),
                "model": model,
                "extractor": extractor,
                "shard": whole_shard(cell.batch_size),
                "space": cell.space,
            }
            self.run.write(cell.key, MADE, made)
        return bool(stored) or there

    def inspect(self, cell: Cell, *, extractor: bool = True) -> None:
        """Set a cell of the directory aside if it is of other code, and say so.

        Args:
            cell: to be looked at.
            extractor: whether the present extractor is that of the cell's feature space, so that
                the two are compared.
        """
        if not self.there(cell.key):
            return
        if why := self.fault(cell, extractor=extractor):
            self.run.set_aside(cell.key, why)
            log.warning("%s on %s (%s) is set aside: %s.", cell.label, cell.model, cell.key, why)

    def fault(self, cell: Cell, *, extractor: bool = True) -> str:
        """Why a cell of the directory is not one that the present code would make; "" if it is.

        Arguments as :meth:`inspect`.
        """
        stored = self.run.read(cell.key, MADE) or {}
        return self._fault(stored, self.probe(cell), cell.model, extractor=extractor)

    def inspect_model(self, key: str, name: str) -> None:
        """Set a cell of the directory aside if it is of another model, whatever else made it: a row
        that cannot be planned again here.

        Args:
            key: of the cell.
            name: of its model, one of the present ones.
        """
        digest = str((self.run.read(key, MADE) or {}).get("model") or "")
        was, now = self._known.get(digest), self.makers[name]
        if was is not None and (
            found := _difference(was, now.model) or self._opened_since(digest, now.folder)
        ):
            why = f"the model is another one: {found}"
            self.run.set_aside(key, why)
            log.warning("%s is set aside: %s.", key, why)

    def digests(self, name: str) -> tuple[str, str]:
        """The digests of a model's record and of its extractor's, "" where there is none."""
        model, extractor = self._digests[name]
        return model, extractor

    def there(self, key: str) -> bool:
        """Whether there is a cell; one that was planned and never begun is none."""
        return any(name != CELL and name[0] != "." for name in self.run.names(key))

    def _fault(
        self, stored: Mapping[str, Any], sampler: Fingerprint, name: str, *, extractor: bool = True
    ) -> str:
        """Why a cell is not one that the present code would make; "" if it is."""
        before = self._on_record(stored, sampler)
        if before is None:
            return "its made.json is damaged or missing, so that nothing says what made it"
        kinds = ("model", "extractor")[: 1 + extractor]
        folder = self.makers[name].folder
        for kind, now, digest in zip(kinds, self.makers[name], self._digests[name], strict=False):
            stands = str(stored.get(kind) or "")
            if stands == digest:  # the record that the present one was found to equal
                continue
            was = self._known.get(stands)
            if (was is None) != (now is None):
                return f"the {kind} is another one, or nothing says which it was"
            if (
                was is not None
                and isinstance(now, Fingerprint)
                and (found := _difference(was, now) or self._opened_since(stands, folder))
            ):
                return f"the {kind} is another one: {found}"
        if before is not sampler and (found := difference(before, sampler)):
            return f"the sampler is another one: {found}"
        return ""

    def _opened_since(self, digest: str, folder: Path) -> str:
        """What became of the files that a model on record opened late; "" if they are the same."""
        return difference_of(folder, self.run.opened(digest))

    def _on_record(self, stored: Mapping[str, Any], now: Fingerprint) -> Fingerprint | None:
        """The fingerprint of a cell's sampler in its ``made.json``: ``now`` itself where that
        is what is written there, as it mostly is.
        """
        return now if stored.get("sampler") == now.to_json() else _parsed(stored.get("sampler"))

    def returning(self, cell: Cell) -> tuple[str, dict[str, Any]] | None:
        """The folder of a cell that was set aside and is what would be made now, with its
        ``made.json``; None if there is none.
        """
        if cell.key not in self._aside:
            return None
        sampler = self.probe(cell)
        for folder, record in self.run.made_aside(cell.key):
            if not self._fault(record, sampler, cell.model):
                return folder, record
        return None

    def _brought_back(self, cell: Cell) -> dict[str, Any]:
        """The ``made.json`` of a cell that was set aside and comes back; empty if there is none."""
        found = self.returning(cell)
        if found is None:
            return {}
        folder, record = found
        self.run.restore(cell.key, folder)
        log.warning(
            "%s is back: it was set aside when other code was there, and "
            "is what the present code makes.",
            cell.key,
        )
        return record

    def _digest_of(self, found: Fingerprint | None, folder: Path = Path()) -> str:
        """The digest of the record that a fingerprint equals; of a new one where there is none."""
        if found is None:
            return ""
        late: set[str] = set()
        for digest, record in self._known.items():
            if record is not None and record.kind == found.kind and not _difference(record, found):
                opened = self.run.opened(digest)
                if not difference_of(folder, opened):
                    if self._writes and found.values.keys() - record.values.keys():
                        whole = replace(record, values={**found.values, **record.values})
                        self.run.write_made(digest, whole.to_json())
                    return digest
                late |= opened.keys()
        # it does the same with other files, as far as its probes show
        files = {name: file_hash(str(folder / name)) or "" for name in sorted(late)}
        digest = without_levels(found).digest
        if digest in self._known:
            digest = hash_of([found.to_json(), files])
        if self._writes:
            self.run.write_made(digest, found.to_json())
            if files:
                self.run.write_opened(digest, files)
        self._known[digest] = found
        return digest


def without_levels(found: Fingerprint) -> Fingerprint:
    """A fingerprint without outputs at the levels of cells."""
    if not any(key.startswith(AT_LEVEL) for key in found.values):
        return found
    values = {key: at for key, at in found.values.items() if not key.startswith(AT_LEVEL)}
    return replace(found, values=values)


def _difference(before: Fingerprint, now: Fingerprint) -> str:
    """What differs between two fingerprints, at the levels that both have."""
    if found := difference(without_levels(before), without_levels(now)):
        return found
    return next(
        (
            f"its output at sigma {float(key.removeprefix(AT_LEVEL).split()[0]):.4g} differs"
            for key, at in before.values.items()
            if key.startswith(AT_LEVEL) and key in now.values and not at.same(now.values[key])
        ),
        "",
    )


def _parsed(record: object) -> Fingerprint | None:
    try:
        return Fingerprint.from_json(record)
    except ValueError:
        return None
