"""Rows with their arrays and times, and the matching of comparable rows in pairs."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import NDArray

from ..quantities import Quantity
from ..run_directory.behaviour_fingerprint import differing_models
from ..run_directory.layout import TIMING
from ..run_directory.reading import RunReader, log, read_run_record
from ..table.curves import add_curves_and_slots, start_level
from ..table.reading import read_table
from ..table.typed_table import TypedTable
from ..values import Record, number, rows_as_dicts, rows_by_index, text
from .estimates import Estimate, estimate_of


@dataclass(frozen=True, eq=False)
class Entry:
    """Row of a table with its saved arrays and times.

    ``record`` is the row, with ``curve`` and ``slot`` (:mod:`..table.curves`). ``run`` is the run
    directory with the row's files, or None. ``estimates``, by quantity name, are used instead of
    the row's values; None for the row's values.
    """

    record: Record
    run: RunReader | None = None
    estimates: Mapping[str, Estimate] | None = None
    _cache: dict[str, Estimate | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def curve(self) -> str:
        """Name of the row's curve."""
        return text(self.record, "curve")

    @property
    def budget(self) -> int | None:
        """Budget that the row competes in, its column ``slot``; None if it has none."""
        slot = number(self.record, "slot")
        return None if slot is None else int(slot)

    def is_of(self, sampler: str) -> bool:
        """Return True if ``sampler`` is the row's sampler (registry name) or its curve's name."""
        return sampler in (text(self.record, "sampler"), self.curve)

    @cached_property
    def arrays(self) -> dict[str, NDArray]:
        """Arrays of ``influence.npz`` by name; {} if there are none."""
        return (self.run and self.run.read_influence(text(self.record, "cell"))) or {}

    @cached_property
    def timing(self) -> dict[str, Any]:
        """Items of ``timing.json``; {} if the row was not timed."""
        return (self.run and self.run.read(text(self.record, "cell"), TIMING)) or {}

    def estimate(self, quantity: Quantity) -> Estimate | None:
        """Return the estimate of a quantity; None if the row has no value of it."""
        if self.estimates is not None:
            return self.estimates.get(quantity.name)
        if quantity.name not in self._cache:  # a row may be in many pairs
            self._cache[quantity.name] = estimate_of(self.record, self.arrays, quantity)
        return self._cache[quantity.name]


RunPaths = Mapping[str, Path]
"""Path of each run by its name in the column ``run``, or of the only run as ""."""


def row_with_folder(row: Record, homes: RunPaths | None) -> Entry:
    """Return the entry of a row, with its run directory if ``homes`` has the path of the run."""
    home = (homes or {}).get(text(row, "run"))
    if home is None or row.get("cell") is None or not (home / "parts").is_dir():
        return Entry(row)
    return Entry(row, RunReader(home))


def entries_by_index(rows: pd.DataFrame, homes: RunPaths | None) -> dict[int, Entry]:
    """Return the entries of rows (:func:`row_with_folder`) by the index of the row."""
    return {index: row_with_folder(row, homes) for index, row in rows_by_index(rows).items()}


@dataclass(frozen=True, eq=False)
class Source:
    """Run or table: name, ``run.json`` or {}, finished rows (``entries``), other rows (``failed``)."""

    name: str
    run: Mapping[str, Any]
    entries: tuple[Entry, ...]
    failed: tuple[Record, ...]

    def __str__(self) -> str:
        """Return the name of the run or table."""
        return self.name


def read_source(path: Path | str | TypedTable) -> Source:
    """Read a run directory, a folder with a ``table.csv``, a table file, or a table in memory.

    A ``run.json`` next to a table file is read too. A table in memory has no arrays or times.
    Raises a ValueError if ``path`` is none of these.
    """
    name, home, run = "table", None, {}
    if isinstance(path, TypedTable):
        table = path
    else:
        path = Path(path)
        name, table, run = path.name, read_table(path), read_run_record(path)
        home = RunReader(path) if (path / "parts").is_dir() else None
        if home and not run:
            unknown = "so that nothing says which models and suite its rows are of"
            log.warning("%s has no run.json that can be read, %s.", path, unknown)
    rows = rows_as_dicts(add_curves_and_slots(table.frame))
    finished = tuple(Entry(row, home) for row in rows if row["status"] == "ok")
    return Source(name, run, finished, tuple(row for row in rows if row["status"] != "ok"))


def quantities_in_all(sources: Sequence[Source], quantities: Sequence[Quantity]) -> list[Quantity]:
    """Return the quantities that have a value in at least one row of every source."""

    def has(source: Source, name: str) -> bool:
        return any(entry.record.get(name) is not None for entry in source.entries)

    return [q for q in quantities if all(has(source, q.name) for source in sources)]


CELL_COLUMNS = (
    *("model", "sampler", "params", "schedule", "start", "end", "sigma_max", "sigma_min"),
    *("budget", "dtype", "tuning_digest"),
)
"""Columns that identify a cell, besides those that :func:`cell_identity` adds."""

CONDITION_COLUMNS = ("seed", "device", "execution")
"""Columns of a run's conditions. Rows of a cell that agree in them are matched first."""

SETTING = ("model", "estimator", "slot", "start", "end", "sigma_max", "dtype")
"""Columns in which a row and its baseline row agree. They agree in :func:`.start_level` too."""


class Pair(NamedTuple):
    """Two rows to compare: the baseline's and the candidate's."""

    baseline: Entry
    candidate: Entry

    @property
    def same_latents(self) -> bool | None:
        """True if sample i of both rows starts from the same latent; None if a seed is missing."""
        seeds = [entry.record.get("seed") for entry in self]
        return None if None in seeds else seeds[0] == seeds[1]

    @property
    def evaluations(self) -> tuple[float, float] | None:
        """Evaluations a sample of both rows; None if unknown, or if they depend on other samples."""
        first, second = (number(entry.record, "nfe") for entry in self)
        if first is None or second is None:
            return None
        sizes = [entry.record.get("samples") for entry in self]
        # adaptive rows have no steps; one step size for a batch makes their counts integers too
        has_steps = all(entry.record.get("steps") is not None for entry in self)
        exact = has_steps and first.is_integer() and second.is_integer()
        same_samples = self.same_latents and sizes[0] == sizes[1]
        return (first, second) if exact or same_samples else None

    @property
    def key(self) -> tuple[str, str]:
        """Model and estimator of the candidate, which both rows share."""
        return text(self.candidate.record, "model"), text(self.candidate.record, "estimator")


class Matches(NamedTuple):
    """Pairs of matched rows, and the rows of either side without a partner."""

    pairs: list[Pair]
    only_baseline: list[Entry]
    only_candidate: list[Entry]


def match_cells(baseline: Iterable[Entry], candidate: Iterable[Entry]) -> Matches:
    """Match the rows of two runs that belong to the same cell (:func:`cell_identity`)."""
    groups: dict[tuple[str, ...], tuple[list[Entry], list[Entry]]] = defaultdict(lambda: ([], []))
    for side, entries in enumerate((baseline, candidate)):
        for entry in entries:
            groups[cell_identity(entry.record)][side].append(entry)
    matches = Matches([], [], [])
    for ours, theirs in groups.values():
        _match_group(ours, theirs, matches)
    return matches


def match_with_sampler(
    entries: Sequence[Entry], sampler: str, *, any_schedule: bool = False
) -> Matches:
    """Match each row of the other samplers with the most similar comparable row of ``sampler``.

    Comparable rows agree in :data:`SETTING` and in the schedule. Schedules may differ with
    ``any_schedule``, or if one sampler brings its own levels. ``sampler`` is a registry name or a
    curve's name. Raises a ValueError if no row is of ``sampler``.
    """
    baselines = [entry for entry in entries if entry.is_of(sampler)]
    if not baselines:
        samplers = ", ".join(sorted({text(entry.record, "sampler") for entry in entries})) or "none"
        raise ValueError(
            f"no finished row is of sampler {sampler!r}; choose the baseline "
            f"from those there: {samplers}"
        )
    matches = Matches([], [], [])
    places: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for baseline in baselines:
        for place in _places_of(baseline.record):
            places[place].append(baseline)
    for entry in (entry for entry in entries if not entry.is_of(sampler)):
        row = entry.record
        comparable = (
            [x for x in places.get(place, ()) if _is_comparable(x.record, row, any_schedule)]
            for place in _places_of(row)
        )
        if fitting := next(filter(None, comparable), None):
            nearest = min(fitting, key=lambda baseline: _mismatch_key(baseline.record, row))
            matches.pairs.append(Pair(nearest, entry))
        else:
            matches.only_candidate.append(entry)
    return matches


def _places_of(row: Record) -> tuple[tuple[object, ...], ...]:
    """Return a row's setting with run and seed, as the most similar baselines have, and without."""
    setting = (*_column_texts(row, SETTING), start_level(row))
    return (*setting, row.get("run"), row.get("seed")), setting


def cell_identity(row: Record) -> tuple[str, ...]:
    """Return the texts of the columns that identify a row's cell across runs."""
    # a sampler's steps in a budget follow from its evaluations a step, which a change may raise
    steps = text(row, "steps") if row.get("budget") is None else ""
    sigma_start = text(row, "sigma_start") if row.get("start") == "gaussian" else ""
    noise = text(row, "noise") if row.get("noise") == "brownian" else ""
    return *_column_texts(row, CELL_COLUMNS), steps, sigma_start, noise


def _match_group(ours: list[Entry], theirs: list[Entry], matches: Matches) -> None:
    """Match a cell's rows of baseline (``ours``) and candidate (``theirs``) into ``matches``."""
    left, right = list(ours), list(theirs)
    most = (*CONDITION_COLUMNS, "estimator")
    for names in ((*most, "steps"), most, CONDITION_COLUMNS):
        twins: dict[tuple[str, ...], deque[Entry]] = defaultdict(deque)
        for entry in right:
            twins[_column_texts(entry.record, names)].append(entry)
        waiting = ((item, twins.get(_column_texts(item.record, names))) for item in left)
        found = [Pair(item, alike.popleft()) for item, alike in waiting if alike]
        matches.pairs.extend(found)
        matched = {entry for pair in found for entry in pair}
        left, right = ([x for x in side if x not in matched] for side in (left, right))
    if len(left) == len(right) == 1:
        matches.pairs.append(Pair(left.pop(), right.pop()))
    matches.only_baseline.extend(left)
    matches.only_candidate.extend(right)


def _column_texts(row: Record, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(text(row, name) for name in names)


def _is_comparable(baseline: Record, row: Record, any_schedule: bool) -> bool:
    return row.get("slot") is not None and (
        any_schedule
        or "own" in (row["schedule"], baseline["schedule"])
        or baseline["schedule"] == row["schedule"]
    )


def _mismatch_key(baseline: Record, row: Record) -> tuple[bool, ...]:
    """Return a sort key of a baseline row, smallest for the row most similar to ``row``."""
    equal = [baseline.get(name) == row.get(name) for name in ("run", "seed")]
    equal += [
        _column_texts(baseline, CONDITION_COLUMNS) == _column_texts(row, CONDITION_COLUMNS),
        text(baseline, "params") in ("", "{}"),
        text(baseline, "schedule") == text(row, "schedule"),
    ]
    return tuple(not agrees for agrees in equal)


def check_sources(a: Source, b: Source) -> None:
    """Raise a ValueError for runs of two versions of a suite, or of two models under one name."""
    suites = [source.run.get("suite") or {} for source in (a, b)]
    names, versions = ([suite.get(key) for suite in suites] for key in ("name", "version"))
    if names[0] == names[1] and versions[0] != versions[1]:
        raise ValueError(
            f"{a} and {b} cannot be compared: suite {names[0]} has version {versions[0]} in the first "
            f"and {versions[1]} in the second; run both with one version"
        )
    for name, change in differing_models(a.run, b.run).items():
        raise ValueError(
            f"{a} and {b} cannot be compared: model {name} {change}; run both with one model"
        )


def check_estimators(a: Entry, b: Entry) -> None:
    """Raise a ValueError if two rows were measured by different estimators."""
    first, second = (text(entry.record, "estimator") for entry in (a, b))
    if first != second:
        parts = zip_longest(first.split("; "), second.split("; "), fillvalue="")
        ours, other = next(pair for pair in parts if pair[0] != pair[1])
        raise ValueError(
            f"model {text(a.record, 'model')} cannot be compared: its estimator has "
            f"{ours or 'nothing'!r} in the first run and {other or 'nothing'!r} in the second; "
            "measure both runs alike"
        )
