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

from ..printed_values import interval_bounds
from ..quantities import Quantity, find
from ..table.curves import comparable_parts
from ..table.typed_table import check_columns
from ..text import interval_ends
from ..values import Record, number, rows_as_dicts
from .pairing import Entry
from .verdicts import ComparedRows, correct_together

FrontMembership = Literal["on", "off", "uncertain"]

COUNTS = ("nfe", "steps")
"""Costs without an error. Other costs than these and ``ms_per_sample`` have an unknown error."""

_MEDIAN_SE = math.sqrt(math.pi / 2) / 1.349
"""Standard error of the median of n normal values, times sqrt(n), per interquartile range."""


class Point(NamedTuple):
    """Point of a row: its value (lower is better), its cost, and the cost's 95 % interval."""

    value: float
    cost: float
    low: float
    high: float

    def is_surely_cheaper(self, other: Point) -> bool:
        """Return True if the 95 % interval of the cost ends below the other point's interval."""
        return self.high < other.low

    def is_no_dearer(self, other: Point) -> bool:
        """Return True if the cost is no higher: counts as they are, times only if surely lower."""
        are_counts = self.low == self.high and other.low == other.high
        return self.cost <= other.cost if are_counts else self.is_surely_cheaper(other)


class FrontPosition(NamedTuple):
    """Membership in the front: ``on_front`` by values, ``front`` given errors (see module)."""

    point: Point
    on_front: bool
    front: FrontMembership


def pareto(frame: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """Return the rows with values of both columns, and new columns ``on_front`` and ``front``.

    The rows are grouped by model and estimator, and sorted by cost. Influence values are not used,
    since a frame has none. ``cost`` is a column such as "nfe" or "ms_per_sample".
    Raises a ValueError if the frame lacks a column ``metric`` or ``cost``, or ``cost`` is no cost.
    """
    check_columns(frame, metric, cost)
    if not find(cost).lower:
        raise ValueError(f"{cost} is no cost, since higher is better; give nfe or ms_per_sample")
    quantity = find(metric)
    parts = [
        rows.sort_values([cost, metric], ascending=[True, quantity.lower], kind="stable")
        for _, rows in comparable_parts(frame.dropna(subset=[metric, cost]))
    ]
    groups = correct_together(
        ComparedRows(dict(enumerate(map(Entry, rows_as_dicts(rows)))), quantity) for rows in parts
    )
    frames = []
    for rows, group in zip(parts, groups, strict=True):
        places = front_positions(group, cost).values()
        front = pd.array([str(place.front) for place in places], dtype="string")
        frames.append(rows.assign(on_front=[place.on_front for place in places], front=front))
    empty = frame.iloc[:0].assign(curve="", slot=0, on_front=False, front="")
    return pd.concat(frames, ignore_index=True) if frames else empty


def front_positions(group: ComparedRows, cost: str) -> dict[Entry, FrontPosition]:
    """Return the front position of each row with a value and a cost."""
    points = {
        entry: point
        for entry in group.entries.values()
        if (point := _cost_point(entry.record, group.quantity, cost))
    }
    leads = dict.fromkeys(_undominated_points(points))
    return {
        entry: FrontPosition(point, entry in leads, _front_membership(entry, leads, points, group))
        for entry, point in points.items()
    }


def _undominated_points(points: Mapping[Entry, Point]) -> list[Entry]:
    front: dict[Entry, Point] = {}
    last: Point | None = None
    for key, point in sorted(points.items(), key=lambda item: (item[1].cost, item[1].value)):
        if last is None or point.value < last.value or point[:2] == last[:2]:
            front[key] = last = point
    return [key for key in points if key in front]


def _cost_point(row: Record, quantity: Quantity, cost: str) -> Point | None:
    value, price = number(row, quantity.name), number(row, cost)
    if value is None or price is None:
        return None
    low, high = -math.inf, math.inf
    if cost in COUNTS:
        low = high = price
    elif cost == "ms_per_sample" and not row.get("timing_flag"):
        iqr, rounds = number(row, "ms_iqr"), number(row, "timing_rounds")
        if ends := interval_bounds(row, cost):
            low, high = ends
        elif iqr is not None and rounds:
            low, high = interval_ends(price, _MEDIAN_SE * iqr / math.sqrt(rounds))
    return Point(quantity.loss(value), price, low, high)


def _front_membership(
    entry: Entry, leads: Collection[Entry], points: Mapping[Entry, Point], group: ComparedRows
) -> FrontMembership:
    point = points[entry]
    no_dearer = [lead for lead in leads if lead != entry and points[lead].is_no_dearer(point)]
    lower = (lead for lead in no_dearer if points[lead].value < point.value)
    if not group.is_refused(entry) and any(
        group.verdict(lead, entry) == "better" for lead in lower
    ):
        return "off"
    if entry not in leads:
        return "uncertain"
    others = (other for other in points if other != entry)
    threats = (other for other in others if not point.is_surely_cheaper(points[other]))
    is_on = all(_is_harmless(other, entry, points, group) for other in threats)
    return "on" if is_on else "uncertain"


def _is_harmless(
    other: Entry, entry: Entry, points: Mapping[Entry, Point], group: ComparedRows
) -> bool:
    """Return True if ``other`` is shown worse than ``entry``, or equals it in value and cost."""
    decided = not (group.is_refused(other) or group.is_refused(entry))
    if decided and group.verdict(other, entry) == "worse":
        return True
    if points[other].cost != points[entry].cost:
        return False
    judgement = group.judgement(other, entry)
    return judgement is not None and judgement.has_equal_values
