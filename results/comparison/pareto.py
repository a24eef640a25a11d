r"""The Pareto front of quality against cost: rows that no other row beats in both.

Quality is measured with an error, and so is time. A verdict decides whether a value is lower
(:class:`.verdicts.Panel`); of two times one is *surely* lower if their 95 % intervals do not
overlap, of two counts if it is lower. A row is

    off         if some row on the front is shown to have the lower value at no more cost (counts: lower or equal; times: surely lower);
    on          if no other row can be excluded from it: each is surely dearer, or shown to be worse;
    uncertain   otherwise, and without a verdict.

``on_front`` is what the point values alone say.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import pandas as pd

from ..quantities import find
from ..record import Record
from ..table.curves import comparable_parts
from ..text import interval_ends
from ..values import number, rows_as_dicts
from .pairing import Entry
from .verdicts import Panel, panels_corrected_together

FrontMembership = Literal["on", "off", "uncertain"]

_MEDIAN_SE = math.sqrt(math.pi / 2) / 1.349
"""Standard error of a normal sample's median times sqrt(n), in interquartile ranges."""


class Point(NamedTuple):
    """Place of a row: value and cost, and the ends of the cost's 95 % interval."""

    value: float
    cost: float
    low: float
    high: float


class FrontPosition(NamedTuple):
    """Membership of a row in the front, by its point values and given their errors."""

    on_front: bool
    front: FrontMembership


def pareto(frame: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """Return the rows that have both columns, by problem and cost, with their place on the front.

    That is in ``on_front`` (flag) and ``front`` (text). A frame has no influence values, so that
    only disjoint intervals separate rows. ``cost`` is "nfe", exact, or "ms_per_sample", a median
    time.

    Raises:
        ValueError: there is no such column.
    """
    for name in (metric, cost):
        if name not in frame:
            raise ValueError(
                f"the table has no column {name!r}; choose a metric and a "
                f"cost from {', '.join(map(str, frame.columns))}"
            )
    parts = [
        rows.dropna(subset=[metric, cost]).sort_values([cost, metric], kind="stable")
        for _, rows in comparable_parts(frame)
    ]
    quantity = find(metric)
    panels = panels_corrected_together(
        Panel(dict(enumerate(map(Entry, rows_as_dicts(rows)))), quantity) for rows in parts
    )
    frames = [
        _with_front_columns(rows, panel, cost) for rows, panel in zip(parts, panels, strict=True)
    ]
    empty = frame.iloc[:0].assign(curve="", slot=0, on_front=False, front="")
    return pd.concat(frames, ignore_index=True) if frames else empty


def front_positions(panel: Panel, cost: str) -> dict[int, FrontPosition]:
    """Return the front position of each row of a panel that has a cost, by its index."""
    points = {
        index: point
        for index, entry in panel.entries.items()
        if (point := cost_point_of(entry.record, panel.quantity.name, cost))
    }
    leads = dict.fromkeys(_undominated_points(points))
    return {
        index: FrontPosition(index in leads, _front_membership(index, leads, points, panel))
        for index in points
    }


def _undominated_points(points: Mapping[int, Point]) -> list[int]:
    """Return the points that no other point dominates, in their order."""
    front: dict[int, Point] = {}
    last: Point | None = None
    for index, point in sorted(points.items(), key=lambda item: (item[1].cost, item[1].value)):
        if last is None or point.value < last.value or point[:2] == last[:2]:
            front[index] = last = point
    return [index for index in points if index in front]


def cost_point_of(row: Record, metric: str, cost: str) -> Point | None:
    """Return a row's value and cost as a point; None if it has no value or no cost."""
    value, price = number(row, metric), number(row, cost)
    if value is None or price is None:
        return None
    low, high = (price, price) if cost == "nfe" else _time_interval(row, price)
    return Point(value, price, low, high)


def is_surely_cheaper(a: Point, b: Point) -> bool:
    """Return True if ``a`` costs less than ``b`` even at the ends of their intervals."""
    return a.high < b.low


def _time_interval(row: Record, median: float) -> tuple[float, float]:
    """Return the interval of a median time: the row's own, else from the scatter of the rounds."""
    low, high = number(row, "ms_low"), number(row, "ms_high")
    iqr, rounds = number(row, "ms_iqr"), number(row, "timing_rounds")
    if not row.get("timing_flag"):
        if low is not None and high is not None:
            return low, high
        if iqr is not None and rounds:
            return interval_ends(median, _MEDIAN_SE * iqr / math.sqrt(rounds))
    return -math.inf, math.inf


def _front_membership(
    index: int, leads: Collection[int], points: dict[int, Point], panel: Panel
) -> FrontMembership:
    point = points[index]
    no_dearer = [lead for lead in leads if lead != index and _is_no_dearer(points[lead], point)]
    lower = (lead for lead in no_dearer if points[lead].value < point.value)
    if not panel.is_refused(index) and any(
        panel.verdict(lead, index) == "better" for lead in lower
    ):
        return "off"
    if index not in leads:
        return "uncertain"
    others = (other for other in points if other != index)
    threats = (other for other in others if not is_surely_cheaper(point, points[other]))
    is_on = all(_is_harmless(other, index, points, panel) for other in threats)
    return "on" if is_on else "uncertain"


def _is_no_dearer(a: Point, b: Point) -> bool:
    """Return True if ``a`` surely costs no more: by count, or by times with disjoint intervals."""
    return a.cost <= b.cost if a.low == a.high and b.low == b.high else is_surely_cheaper(a, b)


def _is_harmless(other: int, index: int, points: dict[int, Point], panel: Panel) -> bool:
    """Return True if another row has a surely higher value, or an equal value at equal cost."""
    decided = not (panel.is_refused(other) or panel.is_refused(index))
    if decided and panel.verdict(other, index) == "worse":
        return True
    if points[other].cost != points[index].cost:
        return False
    judgement = panel.judgement(other, index)
    return judgement is not None and judgement.has_equal_values


def _with_front_columns(rows: pd.DataFrame, panel: Panel, cost: str) -> pd.DataFrame:
    positions = list(front_positions(panel, cost).values())
    return rows.assign(
        on_front=[place.on_front for place in positions],
        front=pd.array([str(place.front) for place in positions], dtype="string"),
    )
