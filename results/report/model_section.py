"""Section of the report on one problem: a model measured by one estimator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from ..comparison.findings import Findings
from ..comparison.headline import headline_table
from ..comparison.pareto import (
    FrontPosition,
    Point,
    cost_point_of,
    front_positions,
    is_surely_cheaper,
)
from ..comparison.verdicts import ComparedRows
from ..record import Record
from ..run_directory.reading import read_run_record
from ..sentences import headline_row, lead_sentences
from ..table.description import why_no_data
from ..terminal.path_curvature import curvature_lines_of_runs
from ..text import format_number
from ..values import number, rows_as_dicts, text
from .pictures import SampleGrid, SampleRows, TrajectoryStrips, sample_rows_of
from .plots import CurveStyle, plot_data_of
from .timing import Timing, timing_of

COSTS = (("nfe", "evaluations"), ("ms_per_sample", "ms"))
"""Cost columns of fronts, and their units."""


@dataclass(frozen=True)
class FrontRow:
    """Row of the front, for the range ``budget`` of costs from its own to the next row's.

    ``certain`` is True if the row is on the front given errors. ``alike`` counts rows of equal cost
    and value. ``alone`` is True if no other sampler was run.
    """

    budget: str
    row: Record
    certain: bool
    alike: int = 1
    alone: bool = False

    @property
    def curve(self) -> str:
        """Name of the row's curve, or a phrase if several rows coincide."""
        return text(self.row, "curve") if self.alike == 1 else f"any of {self.alike} that coincide"

    @property
    def verdict(self) -> str:
        """Recommendation: "use it", "any of them", "open" or "the only one"."""
        if self.alone:
            return "the only one"
        return ("use it" if self.alike == 1 else "any of them") if self.certain else "open"

    @property
    def recommended(self) -> bool:
        """Return True if the recommendation is "use it"."""
        return self.verdict == "use it"


@dataclass(frozen=True)
class Front:
    """Pareto front in one unit of cost, cheapest row first.

    ``rest`` counts other rows that may be on it, ``merged`` rows left out for a tied cost.
    """

    unit: str
    choices: tuple[FrontRow, ...]
    rest: int
    merged: int


def fronts_of(found: Findings) -> tuple[Front, ...]:
    """Return the Pareto fronts of one problem: by evaluations, and by time if measured."""
    fronts = [(unit, cost, front_positions(found.group, cost)) for cost, unit in COSTS]
    return tuple(
        _front_by_cost(found.group, unit, cost, place) for unit, cost, place in fronts if place
    )


def _front_by_cost(
    group: ComparedRows, unit: str, cost: str, places: dict[int, FrontPosition]
) -> Front:
    rows, name = {index: group.entries[index].record for index in places}, group.quantity.name
    points = {index: point for index in places if (point := cost_point_of(rows[index], name, cost))}
    on = [index for index in places if places[index].on_front]
    cheapest: dict[float, int] = {}
    for index in sorted(on, key=lambda index: points[index][1::-1]):
        cheapest.setdefault(points[index].cost, index)
    distinct = _rows_with_distinct_costs(list(cheapest.values()), points)
    costs = [format_number(points[index].cost) for index in distinct]
    ranges = [f"{low} to {high}" for low, high in pairwise(costs)]
    ranges += [f"{cost} or more" for cost in costs[-1:]]
    alone = len({entry.record["curve"] for entry in group.entries.values()}) == 1
    choices = [
        FrontRow(words, rows[n], places[n].front == "on", _count_coinciding(group, n, cost), alone)
        for words, n in zip(ranges, distinct, strict=True)
    ]
    uncertain = sum(place.front == "uncertain" and not place.on_front for place in places.values())
    return Front(unit, tuple(choices), uncertain, len(cheapest) - len(distinct))


def _rows_with_distinct_costs(front: list[int], points: dict[int, Point]) -> list[int]:
    """Return indices of rows with distinguishable costs; of tied ones, only the most expensive."""
    distinct: list[int] = []
    for index in reversed(front):
        if not distinct or is_surely_cheaper(points[index], points[distinct[-1]]):
            distinct.append(index)
    return distinct[::-1]


def _count_coinciding(group: ComparedRows, index: int, cost: str) -> int:
    """Count the rows that have the cost and value of a row, including the row itself."""
    own_cost = number(group.entries[index].record, cost)
    judgements = (
        group.judgement(other, index)
        for other, entry in group.entries.items()
        if other != index and number(entry.record, cost) == own_cost
    )
    return 1 + sum(item is not None and item.has_equal_values for item in judgements)


Homes = Mapping[str, Path]
"""Path of each run by its name in the column ``run``, or of the only run as ""."""


@dataclass(frozen=True)
class ModelSection:
    """Section of one problem; None and empty fields are left out of the page."""

    title: str
    found: Findings | None
    lead: tuple[str, ...]
    fronts: tuple[Front, ...]
    plot: dict[str, Any] | None
    samples: SampleRows | None
    grid: SampleGrid | None
    trajectories: TrajectoryStrips | None
    path_curvature: tuple[str, ...]
    timing: Timing | None
    undrawn: tuple[str, ...]
    missing: int
    without_data: str


def model_section(
    title: str,
    rows: pd.DataFrame,
    found: Findings | None,
    styles: Mapping[str, CurveStyle],
    files: Mapping[int, Path],
    grid: SampleGrid | None,
    trajectories: TrajectoryStrips | None,
    homes: Homes,
) -> ModelSection:
    """Return the section of one problem from its rows, findings, styles and pictures.

    ``files`` are the paths of kept samples by row index.
    """
    lead: tuple[str, ...] = ()
    best = headline_row(found) if found else None
    first = found.quantity.name if found else ""
    if found:
        lead = lead_sentences(found, headline_table(rows.drop(columns=["curve", "slot"])))
    undrawn = tuple(
        f"{text(row, 'curve')} at {text(row, 'slot') or '?'} NFE ({row['status']})"
        for row in rows_as_dicts(rows.loc[~rows["status"].isin(["ok", "missing"])])
    )
    return ModelSection(
        title=title,
        found=found,
        lead=lead,
        fronts=fronts_of(found) if found else (),
        plot=plot_data_of(title, rows, styles, first, best),
        samples=sample_rows_of(title, rows, files, best) if best else None,
        grid=grid,
        trajectories=trajectories,
        path_curvature=curvature_lines_of_runs(
            homes.values(), text(rows.iloc[0].to_dict(), "model")
        ),
        timing=timing_of(rows, homes, found),
        undrawn=undrawn,
        missing=len(rows.loc[rows["status"] == "missing"]),
        without_data=why_no_data(rows) or reference_note_sentence(rows, homes.values()),
    )


def reference_note_sentence(rows: pd.DataFrame, homes: Iterable[Path]) -> str:
    """Return a sentence on the limits of a model's reference statistics; "" if none is recorded."""
    first = rows.iloc[0].to_dict()
    for home in homes:
        references = read_run_record(home).get("references") or {}
        about = references.get(text(first, "model")) or {}
        named = f"reference {about.get('identity')};" in f"{text(first, 'estimator')};"
        if named and about.get("note"):
            return f"Note on the reference statistics: {about['note']}."
    return ""
