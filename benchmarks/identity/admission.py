"""Admission of cells to a run directory: cells whose code has changed are set aside.

A cell's ``made.json`` contains the fingerprint of the cell's sampler on the cell's grid. It also contains
two digests, which name records in ``made/``: the fingerprints of the model and of its feature extractor.
Fingerprints are compared within tolerances (:func:`.behaviour_fingerprint.difference`). So a directory of
another machine stays valid although last digits differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ...models.loaders.user_files import change_in_words, file_hash
from ...results.run_directory.behaviour_fingerprint import Fingerprint, difference, hash_of
from ...results.run_directory.layout import CELL, MADE
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.values import Record
from ..sampling.shard import whole_shard_size
from ..suites.cell import Cell
from .model import AT_LEVEL

UNPROVEN = "it is from a version of samplerbench that did not keep what made it"


class ModelFingerprints(NamedTuple):
    """Fingerprints of a model and its extractor; ``extractor`` is None without a reference.

    ``folder`` is the model's folder; files that the model opens are named relative to it.
    """

    model: Fingerprint
    extractor: Fingerprint | None
    folder: Path = Path()


class Admission:
    """Gatekeeper of a locked run directory, which sets aside results of other code and files.

    ``makers`` has the fingerprints of models and extractors, by model name. ``probe`` returns the
    fingerprint of a cell's sampler. ``digests`` has, by model name, the two digests that name the
    records of these fingerprints; the second is "" without an extractor. If ``writes`` is False, no
    record is written.
    """

    def __init__(
        self,
        run: RunDir,
        makers: Mapping[str, ModelFingerprints],
        probe: Callable[[Cell], Fingerprint],
        *,
        writes: bool = True,
    ) -> None:
        self.run, self.makers, self.probe, self._writes = run, makers, probe, writes
        self._aside = run.keys_set_aside()
        self._records = {
            digest: parse_fingerprint(record) for digest, record in run.fingerprints().items()
        }
        self.digests = {
            name: (
                self._digest_of_record(fingerprints.model, fingerprints.folder),
                self._digest_of_record(fingerprints.extractor),
            )
            for name, fingerprints in makers.items()
        }

    def admit(self, cell: Cell, record: Record) -> bool:
        """Add a cell with the columns ``record`` to the run; return True if it has results.

        Results of the cell by other code are set aside. Results that were set aside earlier are
        restored if the present code would reproduce them.
        """
        self.set_aside_if_outdated(cell)
        sampler, (model, extractor) = self.probe(cell), self.digests[cell.model]
        exists = self.has_parts(cell.key)
        stored: dict[str, Any] = {}
        if exists:
            stored = self.run.read(cell.key, MADE) or {}
        elif (match := self.find_restorable(cell)) is not None:
            folder, stored = match
            self.run.restore(cell.key, folder)
            log.warning(
                "%s is back: it was set aside when other code was there, and "
                "is what the present code makes.",
                cell.key,
            )
        # a recorded fingerprint within tolerance comes first, so that made_by stays
        recorded = _recorded_fingerprint(stored, sampler) or sampler
        model, extractor = str(stored.get("model", model)), str(stored.get("extractor", extractor))
        made_by = f"{recorded.digest[:8]}-{model[:8]}-{extractor[:8] or 'none'}"
        self.run.plan(cell.key, record | {"made_by": made_by})
        if not stored:
            record_of_makers = {
                "sampler": recorded.to_json(),
                "model": model,
                "extractor": extractor,
                "shard": whole_shard_size(cell.batch_size),
                "space": cell.space,
            }
            self.run.write(cell.key, MADE, record_of_makers)
        return bool(stored) or exists

    def set_aside_if_outdated(self, cell: Cell, *, extractor: bool = True) -> None:
        """Set a cell's results aside, and log it, if the present code would not reproduce them.

        ``extractor`` is False for cells of another feature space: extractors are not compared.
        """
        if self.has_parts(cell.key) and (why := self.why_outdated(cell, extractor=extractor)):
            self.run.set_aside(cell.key, why)
            log.warning("%s on %s (%s) is set aside: %s.", cell.label, cell.model, cell.key, why)

    def set_aside_if_model_changed(self, key: str, name: str) -> None:
        """Set the cell ``key`` aside if the model ``name`` has changed since the cell was made."""
        digest = str((self.run.read(key, MADE) or {}).get("model") or "")
        was, now = self._records.get(digest), self.makers[name]
        if was is not None and (
            changes := self._describe_changes(was, now.model, digest, now.folder)
        ):
            why = f"the model is another one: {changes}"
            self.run.set_aside(key, why)
            log.warning("%s is set aside: %s.", key, why)

    def why_outdated(self, cell: Cell, *, extractor: bool = True) -> str:
        """Return why the present code would not reproduce a cell's results; "" if it would."""
        stored = self.run.read(cell.key, MADE) or {}
        return self._why_not_reusable(stored, self.probe(cell), cell.model, extractor=extractor)

    def has_parts(self, key: str) -> bool:
        """Return True if a cell has files, such as shards, besides its plan ``cell.json``."""
        return any(name != CELL and name[0] != "." for name in self.run.file_names(key))

    def find_restorable(self, cell: Cell) -> tuple[str, dict[str, Any]] | None:
        """Return folder and ``made.json`` of results set aside earlier and valid now, or None."""
        if cell.key not in self._aside:
            return None
        sampler = self.probe(cell)
        for folder, record in self.run.folders_set_aside(cell.key):
            if not self._why_not_reusable(record, sampler, cell.model):
                return folder, record
        return None

    def _why_not_reusable(
        self, stored: Mapping[str, Any], sampler: Fingerprint, model: str, *, extractor: bool = True
    ) -> str:
        """Return why a cell with ``made.json`` = ``stored`` is outdated; "" if it is not."""
        before = _recorded_fingerprint(stored, sampler)
        if before is None:
            return "its made.json is damaged or missing, so that nothing says what made it"
        kinds = ("model", "extractor")[: 1 + extractor]
        folder = self.makers[model].folder
        for kind, now, digest in zip(kinds, self.makers[model], self.digests[model], strict=False):
            recorded = str(stored.get(kind) or "")
            if recorded == digest:  # both have the same record
                continue
            was = self._records.get(recorded)
            if (was is None) != (now is None):
                return f"the {kind} is another one, or nothing says which it was"
            if was is None or not isinstance(now, Fingerprint):
                continue
            if changes := self._describe_changes(was, now, recorded, folder):
                return f"the {kind} is another one: {changes}"
        if before is not sampler and (changes := difference(before, sampler)):
            return f"the sampler is another one: {changes}"
        return ""

    def _describe_changes(
        self, was: Fingerprint, now: Fingerprint, digest: str, folder: Path
    ) -> str:
        """Describe the changes from ``was`` to ``now``; "" for none.

        If they agree, these are changes of files in ``folder`` that were opened after the fingerprint
        with this ``digest`` had been taken.
        """
        return _describe_difference(was, now) or change_in_words(
            folder, self.run.late_file_hashes(digest)
        )

    def _digest_of_record(self, fingerprint: Fingerprint | None, folder: Path = Path()) -> str:
        """Return the digest of a fingerprint's record, and write it if missing; "" for None."""
        if fingerprint is None:
            return ""
        late: set[str] = set()
        for digest, record in self._records.items():
            if record is None or _describe_difference(record, fingerprint):
                continue
            opened = self.run.late_file_hashes(digest)
            if not change_in_words(folder, opened):
                if self._writes and fingerprint.values.keys() - record.values.keys():
                    whole = replace(record, values={**fingerprint.values, **record.values})
                    self.run.write_fingerprint(digest, whole.to_json())
                return digest
            late |= opened.keys()
        # no record is equal, perhaps only because of files that are opened late
        files = {name: file_hash(str(folder / name)) or "" for name in sorted(late)}
        digest = without_levels(fingerprint).digest
        if digest in self._records:
            digest = hash_of([fingerprint.to_json(), files])
        if self._writes:
            self.run.write_fingerprint(digest, fingerprint.to_json())
            if files:
                self.run.write_late_file_hashes(digest, files)
        self._records[digest] = fingerprint
        return digest


def without_levels(fingerprint: Fingerprint) -> Fingerprint:
    """Return a fingerprint without a model's outputs at the levels of cells (:data:`AT_LEVEL`)."""
    values = {key: at for key, at in fingerprint.values.items() if not key.startswith(AT_LEVEL)}
    return replace(fingerprint, values=values)


def _describe_difference(before: Fingerprint, now: Fingerprint) -> str:
    """Describe how two fingerprints differ, apart from levels that one lacks; "" for none."""
    if words := difference(without_levels(before), without_levels(now)):
        return words
    for key, at in before.values.items():
        if key.startswith(AT_LEVEL) and key in now.values and not at.same(now.values[key]):
            sigma = float(key.removeprefix(AT_LEVEL).split()[0])
            return f"its output at sigma {sigma:.4g} differs"
    return ""


def _recorded_fingerprint(stored: Mapping[str, Any], now: Fingerprint) -> Fingerprint | None:
    """Return the sampler's fingerprint in ``made.json``: ``now`` if equal; None if damaged."""
    record = stored.get("sampler")
    return now if record == now.to_json() else parse_fingerprint(record)


def parse_fingerprint(record: object) -> Fingerprint | None:
    """Return the fingerprint in a record; None if the record is missing or damaged."""
    try:
        return Fingerprint.from_json(record)
    except ValueError:
        return None
