"""Lowest rows at each budget, and the order and choice of curves on a page.

Verdicts are corrected over all pairs of rows at one budget (:class:`.verdicts.Panel`). Without a
verdict, disjoint 95 % intervals separate two rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..intervals import interval_bounds
from ..quantities import find
from ..table.curves import comparable_parts
from ..values import number, rows_as_dicts, text
from .estimates import default_quantity
from .pairing import entry_of
from .verdicts import COINCIDE, Panel, panels_corrected_together

MOST = 2000
"""Rows of a page, about: all of a smaller table."""


def select_visible_rows(frame: pd.DataFrame, baseline: str, most: int = MOST) -> pd.DataFrame:
    """Return the rows of a table that a page shows: all of at most ``most``.

    Of a large one these are the best curves of each problem, whole, the baseline's best among them,
    and the rows without results. A curve counts by its best rank at any budget.
    """
    if len(frame) <= most:
        return frame
    parts = comparable_parts(frame)
    places = [
        place
        for _, rows in parts
        for place in _visible_row_indices(rows, baseline, most // len(parts))
    ]
    return frame.loc[sorted(places)].reset_index(drop=True)


def _visible_row_indices(rows: pd.DataFrame, baseline: str, most: int) -> list[int]:
    quantity = default_quantity(rows_as_dicts(rows))
    failed = list(rows.loc[rows["status"] != "ok"].index)[:most]
    if quantity is None:
        return list(dict.fromkeys([*failed, *rows.index[:most]]))[:most]
    ok = rows.loc[rows["status"] == "ok", ["curve", "sampler", "slot", quantity.name]]
    curves = _curves_by_rank(ok, quantity.name, ["best", "mean"])
    own = set(ok.loc[(ok["sampler"] == baseline) | (ok["curve"] == baseline), "curve"])
    first = [curve for curve in curves if curve in own][:1]
    indices: list[int] = []
    for curve in dict.fromkeys([*first, *curves]):
        indices += [int(place) for place in ok.index[ok["curve"] == curve]]
        if len(indices) >= most - len(failed):
            break
    return [*indices, *failed]


def ranked_curves(rows: pd.DataFrame) -> list[str]:
    """Return the curves of a problem by their mean rank over the budgets; without results last."""
    quantity = default_quantity(rows_as_dicts(rows))
    finished = rows.loc[rows["status"] == "ok"]
    first = _curves_by_rank(finished, quantity.name, ["mean", "best"]) if quantity else []
    return list(dict.fromkeys([*first, *map(str, rows["curve"])]))


def _curves_by_rank(finished: pd.DataFrame, column: str, by: list[str]) -> list[str]:
    """Return the finished curves ordered by the best and the mean of their ranks at each budget."""
    rank = finished.groupby("slot", dropna=False)[column].rank(method="min")
    by_curve = rank.astype("Float64").groupby(finished["curve"])
    order = pd.DataFrame({"best": by_curve.min(), "mean": by_curve.mean()}).fillna(math.inf)
    return [str(curve) for curve in order.sort_values(by, kind="stable").index]


Place = tuple[str, int]
"""A curve and a budget."""


def lowest_places(
    frame: pd.DataFrame,
    metric: str | None = None,
    homes: Mapping[str, Path] | None = None,
    *,
    unseen: int = 0,
) -> dict[str, frozenset[Place]]:
    """Return for each problem the places whose rows are not shown to be above the lowest row.

    Of several rows in one place the one with the most evaluations counts.
    """
    panels: dict[str, Panel] = {}
    for title, rows in comparable_parts(frame):
        finished = rows.loc[rows["status"] == "ok"].sort_values("nfe", kind="stable")
        default = default_quantity(rows_as_dicts(finished)) if metric is None else None
        column = metric or (default.name if default else "fid_proxy")
        places = {
            (text(row, "curve"), int(number(row, "slot") or 0)): row
            for row in rows_as_dicts(finished.dropna(subset=["slot"]))
            if number(row, column) is not None
        }
        entries = {n: entry_of(row, homes or {}) for n, row in enumerate(places.values())}
        panels[title] = Panel(entries, find(column))
    corrected = panels_corrected_together(panels.values(), unseen)
    return {
        title: _places_tied_with_lowest(panel)
        for title, panel in zip(panels, corrected, strict=True)
    }


def _places_tied_with_lowest(panel: Panel) -> frozenset[Place]:
    first: dict[int, int] = {}
    slots = {n: int(number(entry.record, "slot") or 0) for n, entry in panel.entries.items()}
    name = panel.quantity.name
    for n in sorted(slots, key=lambda n: number(panel.entries[n].record, name) or 0.0):
        first.setdefault(slots[n], n)
    return frozenset(
        (text(entry.record, "curve"), slots[n])
        for n, entry in panel.entries.items()
        if n == first[slots[n]] or not _is_shown_above(panel, n, first[slots[n]])
    )


def _is_shown_above(panel: Panel, other: int, lowest_one: int) -> bool:
    verdict = panel.verdict(other, lowest_one) if panel.quantity.influence else "no verdict"
    if verdict != "no verdict":
        return verdict == "worse"
    name, rows = panel.quantity.name, [panel.entries[n].record for n in (lowest_one, other)]
    values = [number(row, name) or 0.0 for row in rows]  # alone where an error is not known
    high = (interval_bounds(rows[0], name) or values[:1])[-1]
    least = (interval_bounds(rows[1], name) or values[1:])[0]
    return least > high and not math.isclose(least, high, rel_tol=COINCIDE)
