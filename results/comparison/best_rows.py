"""Best rows at each budget, and the choice and order of the curves that a report shows.

Verdicts are corrected over all pairs of rows at one budget (:class:`.verdicts.ComparedRows`). Two
rows that get no verdict count as different if their 95 % intervals are disjoint.
"""

from __future__ import annotations

import math

import pandas as pd

from ..printed_values import interval_bounds
from ..quantities import Quantity, find
from ..table.curves import CurveBudget, comparable_parts, rows_by_curve_budget
from ..values import number, rows_as_dicts
from .estimates import default_quantity
from .pairing import Entry, RunPaths, row_with_folder
from .verdicts import COINCIDE, ComparedRows, correct_together

MOST = 2000
"""Largest number of rows that a page shows in full."""


def select_visible_rows(frame: pd.DataFrame, baseline: str, most: int = MOST) -> pd.DataFrame:
    """Return the rows of a table that a page shows: all, or about ``most`` of them.

    In a larger table, each model and estimator has an equal share of ``most``. The share is filled
    with rows without results, the baseline's best curve, and other whole curves, best ranks first.
    """
    if len(frame) <= most:
        return frame
    parts = comparable_parts(frame)
    indices = [
        index
        for _, rows in parts
        for index in _visible_row_indices(rows, baseline, most // len(parts))
    ]
    return frame.loc[sorted(indices)].reset_index(drop=True)


def _visible_row_indices(rows: pd.DataFrame, baseline: str, most: int) -> list[int]:
    quantity = default_quantity(rows_as_dicts(rows))
    failed = list(rows.loc[rows["status"] != "ok"].index)[:most]
    if quantity is None:
        return list(dict.fromkeys([*failed, *rows.index[:most]]))[:most]
    ok = rows.loc[rows["status"] == "ok", ["curve", "sampler", "slot", quantity.name]]
    curves = _curves_by_rank(ok, quantity, ["best", "mean"])
    own = set(ok.loc[(ok["sampler"] == baseline) | (ok["curve"] == baseline), "curve"])
    first = [curve for curve in curves if curve in own][:1]
    indices: list[int] = []
    for curve in dict.fromkeys([*first, *curves]):
        indices += [int(index) for index in ok.index[ok["curve"] == curve]]
        if len(indices) >= most - len(failed):
            break
    return [*indices, *failed]


def ranked_curves(rows: pd.DataFrame) -> list[str]:
    """Return curves by mean rank over the budgets, best first; curves without results come last."""
    quantity = default_quantity(rows_as_dicts(rows))
    finished = rows.loc[rows["status"] == "ok"]
    first = _curves_by_rank(finished, quantity, ["mean", "best"]) if quantity else []
    return list(dict.fromkeys([*first, *map(str, rows["curve"])]))


def _curves_by_rank(finished: pd.DataFrame, quantity: Quantity, by: list[str]) -> list[str]:
    """Return curves sorted by rank: ``by`` lists "best" and "mean" (over budgets) in sort order."""
    values = finished.groupby("slot", dropna=False)[quantity.name]
    rank = values.rank(method="min", ascending=quantity.lower)
    by_curve = rank.astype("Float64").groupby(finished["curve"])
    order = pd.DataFrame({"best": by_curve.min(), "mean": by_curve.mean()}).fillna(math.inf)
    return [str(curve) for curve in order.sort_values(by, kind="stable").index]


def best_curve_budgets(
    frame: pd.DataFrame,
    metric: str | None = None,
    homes: RunPaths | None = None,
    *,
    unseen: int = 0,
) -> dict[str, frozenset[CurveBudget]]:
    """Return the (curve, budget) pairs whose row is not shown to be worse than the budget's best.

    The keys are the titles of :func:`.comparable_parts`. ``metric`` None stands for each part's
    default quantity. Of several rows at one pair, the row with the most evaluations counts.
    ``homes`` has the path of each run by its name. ``unseen`` is the number of rows left out of
    ``frame``, which the correction of verdicts counts too.
    """
    groups: dict[str, ComparedRows] = {}
    for title, rows in comparable_parts(frame):
        finished = rows.loc[rows["status"] == "ok"]
        default = default_quantity(rows_as_dicts(finished)) if metric is None else None
        column = metric or (default.name if default else "fid_proxy")
        placed = rows_by_curve_budget(finished.dropna(subset=[column])).values()
        entries = {n: row_with_folder(row, homes) for n, row in enumerate(placed)}
        groups[title] = ComparedRows(entries, find(column))
    corrected = correct_together(groups.values(), unseen)
    return {
        title: _curve_budgets_tied_with_best(group)
        for title, group in zip(groups, corrected, strict=True)
    }


def _curve_budgets_tied_with_best(group: ComparedRows) -> frozenset[CurveBudget]:
    leaders = group.leaders()
    return frozenset(
        (entry.curve, entry.budget)
        for entry in group.entries.values()
        if entry.budget is not None
        and (entry is (best := leaders[entry.budget]) or not _is_shown_worse(group, entry, best))
    )


def _is_shown_worse(group: ComparedRows, other: Entry, best_one: Entry) -> bool:
    verdict = group.verdict(other, best_one) if group.quantity.influence else "no verdict"
    if verdict != "no verdict":
        return verdict == "worse"
    name, rows = group.quantity.name, [best_one.record, other.record]
    values = [number(row, name) or 0.0 for row in rows]  # used as the interval where there is none
    loss = group.quantity.loss
    high = max(map(loss, interval_bounds(rows[0], name) or values[:1]))
    least = min(map(loss, interval_bounds(rows[1], name) or values[1:]))
    return least > high and not math.isclose(least, high, rel_tol=COINCIDE)
