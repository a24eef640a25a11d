"""Rows as comparisons read them: each finished row with its influence values and raw times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..quantities import Quantity
from ..record import Record
from ..run_directory.layout import TIMING
from ..run_directory.reading import log, run_record
from ..run_directory.run_dir import RunDir
from ..table.curves import with_curves
from ..table.reading import read_table
from ..table.typed_table import TypedTable
from ..values import rows_of, text
from .estimates import Estimate, estimate_of


@dataclass(frozen=True, eq=False)
class Entry:
    """Row of a table with its saved arrays and times.

    Attributes:
        record: the row, with ``curve`` and ``slot`` (:mod:`..table.curves`).
        folder: where its parts lie; None for a row of a table alone.
        conditions: what its run adds to the conditions of its times.
        estimates: values by quantity that stand in for the row's own (computed on some of its
            samples, say).
    """

    record: Record
    folder: Path | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] | None = None

    @cached_property
    def arrays(self) -> dict[str, NDArray]:
        """The arrays of ``influence.npz``; none if they were not kept."""
        return (self.folder and _home(self.folder).influence(self.folder.name)) or {}

    @cached_property
    def timing(self) -> dict[str, Any]:
        """``timing.json`` and the conditions of its times; empty if the row was not timed."""
        timing = (self.folder and _home(self.folder).read(self.folder.name, TIMING)) or {}
        execution = text(self.record, "execution") or "eager"
        return {**self.conditions, "timing_execution": execution, **timing} if timing else {}

    def estimate(self, quantity: Quantity) -> Estimate | None:
        """Return the estimate of a quantity; None without a value."""
        if self.estimates is not None:
            return self.estimates.get(quantity.name)
        if quantity.name not in self._estimates:  # a row may be in many pairs
            self._estimates[quantity.name] = estimate_of(self.record, self.arrays, quantity)
        return self._estimates[quantity.name]

    @cached_property
    def _estimates(self) -> dict[str, Estimate | None]:
        return {}


def entry_of(row: Record, homes: Mapping[str, Path]) -> Entry:
    """A row of several runs together as an entry, given the path of each ``run``, or of the
    only one as "".
    """
    home = homes.get(text(row, "run"))
    parts = home is not None and (home / "parts").is_dir() and row.get("cell") is not None
    return Entry(
        row, RunDir(home).part(text(row, "cell"), "cell.json").parent if parts and home else None
    )


@dataclass(frozen=True, eq=False)
class Source:
    """A run, or a table alone: name, ``run.json``, the rows with results, and those without."""

    name: str
    run: Mapping[str, Any]
    entries: tuple[Entry, ...]
    failed: tuple[Record, ...]

    def __str__(self) -> str:
        """Return the name."""
        return self.name


def read_source(path: Path | str | TypedTable) -> Source:
    """Return the source at a run directory, a folder with a ``table.csv``, or a table.

    A ``run.json`` next to a table is read too. Rows of a table in memory are taken for independent.

    Raises:
        ValueError: ``path`` is none of these.
    """
    if isinstance(path, TypedTable):
        rows = rows_of(with_curves(path.frame))
        done = tuple(Entry(row) for row in rows if row["status"] == "ok")
        return Source("table", {}, done, tuple(row for row in rows if row["status"] != "ok"))
    path = Path(path)
    frame = with_curves(read_table(path).frame)
    run = run_record(path)
    provenance = run.get("provenance")
    device = provenance.get("device") if isinstance(provenance, dict) else None
    conditions = {"timing_device_name": device.get("name") if isinstance(device, dict) else None}
    home = RunDir.open(path) if (path / "parts").is_dir() else None
    if home and not run:
        log.warning(
            "%s has no run.json that can be read, so that nothing says which "
            "models and suite its rows are of.",
            path,
        )
    entries, failed = [], []
    for row in rows_of(frame):
        if row["status"] == "ok":
            folder = home.part(text(row, "cell"), "cell.json").parent if home else None
            entries.append(Entry(row, folder, conditions))
        else:
            failed.append(row)
    return Source(path.name, run, tuple(entries), tuple(failed))


def _home(folder: Path) -> RunDir:
    """The run that a folder of parts belongs to."""
    return RunDir(folder.parent.parent)


def measured(sources: Sequence[Source], quantities: Sequence[Quantity]) -> list[Quantity]:
    """Return the quantities that have a value in every source."""
    return [
        q
        for q in quantities
        if all(
            any(entry.record.get(q.name) is not None for entry in source.entries)
            for source in sources
        )
    ]
