r"""The Pareto front of quality against cost: rows that no other row beats in both.

``on_front`` is the membership by the values alone. ``front`` allows for errors: a verdict decides
which of two values is better (:class:`.verdicts.ComparedRows`). A time is *surely* lower if it is
lower and both 95 % intervals are disjoint. A lower count is always surely lower. ``front`` is

    off         if a row with ``on_front`` is shown to be better at no more cost
                (counts: lower or equal; times: surely lower);
    on          if ``on_front``, and each other row has a surely higher cost, is shown to be worse,
                or has the same value and cost;
    uncertain   otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import pandas as pd

from ..quantities import Quantity, find
from ..table.curves import comparable_parts
from ..table.typed_table import check_columns
from ..text import interval_ends
from ..values import Record, number, rows_as_dicts
from .pairing import Entry
from .verdicts import ComparedRows, correct_together

FrontMembership = Literal["on", "off", "uncertain"]

_MEDIAN_SE = math.sqrt(math.pi / 2) / 1.349
"""Standard error of the median of n normal values, times sqrt(n), per interquartile range."""


class Point(NamedTuple):
    """Point of a row: its value (lower is better), its cost, and the cost's 95 % interval."""

    value: float
    cost: float
    low: float
    high: float


class FrontPosition(NamedTuple):
    """Membership in the Pareto front: ``on_front`` by values alone, ``front`` given errors."""

    point: Point
    on_front: bool
    front: FrontMembership


def pareto(frame: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """Return the rows with values of both columns, and new columns ``on_front`` and ``front``.

    The rows are grouped by model and estimator, and sorted by cost. Influence values are not used,
    since a frame has none. ``cost`` is "nfe" or "ms_per_sample".

    Raises:
        ValueError: the frame lacks one of the columns.
    """
    check_columns(frame, metric, cost)
    quantity = find(metric)
    parts = [
        rows.sort_values([cost, metric], ascending=[True, quantity.lower], kind="stable")
        for _, rows in comparable_parts(frame.dropna(subset=[metric, cost]))
    ]
    groups = correct_together(
        ComparedRows(dict(enumerate(map(Entry, rows_as_dicts(rows)))), quantity) for rows in parts
    )
    frames = [
        _with_front_columns(rows, group, cost) for rows, group in zip(parts, groups, strict=True)
    ]
    empty = frame.iloc[:0].assign(curve="", slot=0, on_front=False, front="")
    return pd.concat(frames, ignore_index=True) if frames else empty


def front_positions(group: ComparedRows, cost: str) -> dict[int, FrontPosition]:
    """Return the front position of each row with a value and a cost, by the row's index."""
    points = {
        index: point
        for index, entry in group.entries.items()
        if (point := _cost_point(entry.record, group.quantity, cost))
    }
    leads = dict.fromkeys(_undominated_points(points))
    return {
        index: FrontPosition(point, index in leads, _front_membership(index, leads, points, group))
        for index, point in points.items()
    }


def _undominated_points(points: Mapping[int, Point]) -> list[int]:
    """Return the indices of the points that no other point dominates, in their order."""
    front: dict[int, Point] = {}
    last: Point | None = None
    for index, point in sorted(points.items(), key=lambda item: (item[1].cost, item[1].value)):
        if last is None or point.value < last.value or point[:2] == last[:2]:
            front[index] = last = point
    return [index for index in points if index in front]


def _cost_point(row: Record, quantity: Quantity, cost: str) -> Point | None:
    value, price = number(row, quantity.name), number(row, cost)
    if value is None or price is None:
        return None
    low, high = (price, price) if cost == "nfe" else _time_interval(row, price)
    return Point(quantity.loss(value), price, low, high)


def is_surely_cheaper(a: Point, b: Point) -> bool:
    """Return True if the 95 % interval of ``a``'s cost ends below the interval of ``b``'s."""
    return a.high < b.low


def _time_interval(row: Record, median: float) -> tuple[float, float]:
    """Return the 95 % interval of a row's median time; infinite if unknown or flagged."""
    low, high = number(row, "ms_low"), number(row, "ms_high")
    iqr, rounds = number(row, "ms_iqr"), number(row, "timing_rounds")
    if not row.get("timing_flag"):
        if low is not None and high is not None:
            return low, high
        if iqr is not None and rounds:
            return interval_ends(median, _MEDIAN_SE * iqr / math.sqrt(rounds))
    return -math.inf, math.inf


def _front_membership(
    index: int, leads: Collection[int], points: dict[int, Point], group: ComparedRows
) -> FrontMembership:
    point = points[index]
    no_dearer = [lead for lead in leads if lead != index and _is_no_dearer(points[lead], point)]
    lower = (lead for lead in no_dearer if points[lead].value < point.value)
    if not group.is_refused(index) and any(
        group.verdict(lead, index) == "better" for lead in lower
    ):
        return "off"
    if index not in leads:
        return "uncertain"
    others = (other for other in points if other != index)
    threats = (other for other in others if not is_surely_cheaper(point, points[other]))
    is_on = all(_is_harmless(other, index, points, group) for other in threats)
    return "on" if is_on else "uncertain"


def _is_no_dearer(a: Point, b: Point) -> bool:
    """Return True if ``a`` surely costs no more than ``b``; for times by disjoint intervals."""
    return a.cost <= b.cost if a.low == a.high and b.low == b.high else is_surely_cheaper(a, b)


def _is_harmless(other: int, index: int, points: dict[int, Point], group: ComparedRows) -> bool:
    """Return True if ``other`` is shown to be worse than ``index``, or has its value and cost."""
    decided = not (group.is_refused(other) or group.is_refused(index))
    if decided and group.verdict(other, index) == "worse":
        return True
    if points[other].cost != points[index].cost:
        return False
    judgement = group.judgement(other, index)
    return judgement is not None and judgement.has_equal_values


def _with_front_columns(rows: pd.DataFrame, group: ComparedRows, cost: str) -> pd.DataFrame:
    places = front_positions(group, cost).values()
    front = pd.array([str(place.front) for place in places], dtype="string")
    return rows.assign(on_front=[place.on_front for place in places], front=front)
