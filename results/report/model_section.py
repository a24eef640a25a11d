"""Section of the report on one problem: a model measured by one estimator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..comparison.findings import Findings
from ..comparison.headline import headline_of_problem
from ..comparison.pairing import Entry, RunPaths
from ..comparison.pareto import FrontPosition, front_positions
from ..comparison.verdicts import ComparedRows
from ..palette import Style
from ..run_directory.reading import read_run_record
from ..sentences import headline_row, lead_sentences
from ..table.description import why_no_distance_to_data
from ..terminal.path_curvature import first_curvature_lines
from ..text import format_number
from ..values import Record, number, rows_as_dicts, text
from .pictures import SampleGrid, TrajectoryStrips, sample_rows_of
from .plots import plot_data_of
from .timing import timing_of

COSTS = (("nfe", "evaluations"), ("ms_per_sample", "ms"))
"""Cost columns of fronts, and their units."""


class FrontRow(NamedTuple):
    """Row of the front; ``budget`` is the range from its cost to the cost of the next row.

    ``curve`` is the name of the row's curve, or a phrase if several rows have equal cost and value.
    ``verdict`` is a recommendation: "use it", "any of them", "open" (errors leave a doubt that the
    row is on the front) or "the only one" (no other curve has values).
    """

    budget: str
    row: Record
    curve: str
    verdict: str


@dataclass(frozen=True)
class Front:
    """Pareto front in one unit of cost, cheapest row first.

    ``rest`` counts rows that are off the front by their values, but may be on it. ``merged`` counts
    rows of the front that are omitted, since their cost is not surely lower than the next row's.
    """

    unit: str
    choices: tuple[FrontRow, ...]
    rest: int
    merged: int


def fronts_of(findings: Findings) -> tuple[Front, ...]:
    """Return the Pareto fronts of one problem: by evaluations, and by time if measured."""
    return tuple(
        _front_by_cost(findings.group, unit, cost, places)
        for cost, unit in COSTS
        if (places := front_positions(findings.group, cost))
    )


def _front_by_cost(
    group: ComparedRows, unit: str, cost: str, places: dict[Entry, FrontPosition]
) -> Front:
    on = [(entry, place.point) for entry, place in places.items() if place.on_front]
    best_by_cost: dict[float, Entry] = {}
    for entry, point in sorted(on, key=lambda item: (item[1].cost, item[1].value)):
        best_by_cost.setdefault(point.cost, entry)
    # of rows whose costs cannot be told apart, only the most expensive
    distinct: list[Entry] = []
    for entry in reversed(best_by_cost.values()):
        if not distinct or places[entry].point.is_surely_cheaper(places[distinct[0]].point):
            distinct.insert(0, entry)
    costs = [format_number(places[entry].point.cost) for entry in distinct]
    ranges = [f"{low} to {high}" for low, high in pairwise(costs)]
    ranges += [f"{cost} or more" for cost in costs[-1:]]
    alone = len({entry.curve for entry in group.entries.values()}) == 1
    choices = []
    for words, entry in zip(ranges, distinct, strict=True):
        alike = _count_coinciding(group, entry, cost)
        if alone:
            verdict = "the only one"
        elif places[entry].front != "on":
            verdict = "open"
        else:
            verdict = "use it" if alike == 1 else "any of them"
        curve = entry.curve if alike == 1 else f"any of {alike} that coincide"
        choices.append(FrontRow(words, entry.record, curve, verdict))
    uncertain = sum(place.front == "uncertain" and not place.on_front for place in places.values())
    return Front(unit, tuple(choices), uncertain, len(best_by_cost) - len(distinct))


def _count_coinciding(group: ComparedRows, entry: Entry, cost: str) -> int:
    """Count the rows that have the cost and value of a row, including the row itself."""
    own_cost = number(entry.record, cost)
    judgements = (
        group.judgement(other, entry)
        for other in group.entries.values()
        if other != entry and number(other.record, cost) == own_cost
    )
    return 1 + sum(item is not None and item.has_equal_values for item in judgements)


def model_section(
    title: str,
    rows: pd.DataFrame,
    findings: Findings | None,
    styles: Mapping[str, Style],
    grid: SampleGrid | None,
    trajectories: TrajectoryStrips | None,
    homes: RunPaths,
) -> dict[str, Any]:
    """Return one problem's section of the report, as items for the template.

    The page leaves out items that are None or empty.
    """
    best = headline_row(findings) if findings else None
    model, known = _model_and_runs(text(rows.iloc[0].to_dict(), "model"), homes)
    undrawn = [
        f"{text(row, 'curve')} at {text(row, 'slot') or '?'} NFE ({row['status']})"
        for row in rows_as_dicts(rows.loc[~rows["status"].isin(["ok", "missing"])])
    ]
    return {
        "title": title,
        "findings": findings,
        "plot": plot_data_of(rows, styles, findings.quantity.name if findings else "", best),
        "samples": sample_rows_of(title, rows, homes, best) if best else None,
        "grid": grid,
        "trajectories": trajectories,
        "path_curvature": first_curvature_lines(known, model),
        "timing": timing_of(rows, homes, findings),
        "undrawn": undrawn,
        "missing": len(rows.loc[rows["status"] == "missing"]),
        "without_data": why_no_distance_to_data(rows)
        or reference_note_sentence(rows.assign(model=model), known),
        "lead": lead_sentences(findings, headline_of_problem(rows)) if findings else (),
        "fronts": fronts_of(findings) if findings else (),
    }


def _model_and_runs(model: str, homes: RunPaths) -> tuple[str, list[Path]]:
    """Return a model's name in its runs, and the runs: one, if the table names it with its run."""
    for run, home in homes.items():
        if run and model.endswith(end := f" · {run}"):
            return model.removesuffix(end), [home]
    return model, list(homes.values())


def reference_note_sentence(rows: pd.DataFrame, homes: Iterable[Path]) -> str:
    """Return a sentence on the limits of a model's reference statistics; "" if none is recorded."""
    model, known = str(rows["model"].iloc[0]), [*rows["estimator"].dropna(), ""]
    for home in homes:
        references = read_run_record(home).get("references") or {}
        about = references.get(model) or {}
        named = f"reference {about.get('identity')};" in f"{known[0]};"
        if named and about.get("note"):
            return f"Note on the reference statistics: {about['note']}."
    return ""
