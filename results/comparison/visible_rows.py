"""Limits on the rows and curves of a page: large tables are slow, hundreds of curves unreadable."""

from __future__ import annotations

import math

import pandas as pd

from ..table.curves import comparable_parts
from ..values import rows_of
from .estimates import default_quantity

MOST = 2000
"""Rows of a page, about: all of a smaller table."""


def select_visible_rows(frame: pd.DataFrame, baseline: str, most: int = MOST) -> pd.DataFrame:
    """Return the rows of a table that a page shows: all of a small one.

    Of a large one these are the best curves of each problem, whole, the baseline's best among them,
    and the rows without results. A curve counts by its best rank at any budget.

    Args:
        frame: of a :class:`..table.typed_table.TypedTable`.
        baseline: sampler or curve.
        most: rows of a table that is shown whole.
    """
    if len(frame) <= most:
        return frame
    parts = comparable_parts(frame)
    places = [place for _, rows in parts for place in _of_part(rows, baseline, most // len(parts))]
    return frame.loc[sorted(places)].reset_index(drop=True)


def _of_part(rows: pd.DataFrame, baseline: str, most: int) -> list[int]:
    quantity = default_quantity(rows_of(rows))
    failed = list(rows.loc[rows["status"] != "ok"].index)[:most]
    if quantity is None:
        return list(dict.fromkeys([*failed, *rows.index[:most]]))[:most]
    ok = rows.loc[rows["status"] == "ok", ["curve", "sampler", "slot", quantity.name]]
    curves = _ordered(ok, quantity.name, ["best", "mean"])
    own = set(ok.loc[(ok["sampler"] == baseline) | (ok["curve"] == baseline), "curve"])
    first = [curve for curve in curves if curve in own][:1]
    indices: list[int] = []
    for curve in dict.fromkeys([*first, *curves]):
        indices += [int(place) for place in ok.index[ok["curve"] == curve]]
        if len(indices) >= most - len(failed):
            break
    return [*indices, *failed]


def ranked_curves(rows: pd.DataFrame) -> list[str]:
    """Return the curves of a problem, best first: by their mean rank over the budgets.

    Those without results come last.
    """
    quantity = default_quantity(rows_of(rows))
    finished = rows.loc[rows["status"] == "ok"]
    first = _ordered(finished, quantity.name, ["mean", "best"]) if quantity else []
    return list(dict.fromkeys([*first, *map(str, rows["curve"])]))


def _ordered(finished: pd.DataFrame, column: str, by: list[str]) -> list[str]:
    """Finished curves by the best and the mean of their ranks at each budget."""
    rank = finished.groupby("slot", dropna=False)[column].rank(method="min")
    by_curve = rank.astype("Float64").groupby(finished["curve"])
    order = pd.DataFrame({"best": by_curve.min(), "mean": by_curve.mean()}).fillna(math.inf)
    return [str(curve) for curve in order.sort_values(by, kind="stable").index]
