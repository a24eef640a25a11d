r"""The Pareto front of quality against cost: rows that no other row beats in both.

Quality is measured with an error, and so is time. Of two rows, one is *surely* lower if the difference exceeds 1.96 standard errors, the
rows taken as independent. A row is

    off         if some row surely has the lower value at no more cost (exact counts: lower or equal; times: surely lower);
    on          if no other row can be excluded from it: each is surely dearer, or surely no better;
    uncertain   otherwise.

``on_front`` is what the point values alone say.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import pandas as pd

from .curves import problems
from .record import Record
from .text import Z95
from .values import number, rows_of

Front = Literal["on", "off", "uncertain"]

_MEDIAN_SE = math.sqrt(math.pi / 2) / 1.349
"""Standard error of a normal sample's median times sqrt(n), in interquartile ranges."""


class Point(NamedTuple):
    """A row's place: value and cost with their standard errors (0: exact; infinite: unknown)."""

    value: float
    value_se: float
    cost: float
    cost_se: float


def pareto(frame: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    """The rows that have both columns, by model, estimator and cost, with ``on_front`` (flag) and ``front`` (text).

    Args:
        frame: rows of a table.
        metric: column of the quality, lower is better; its standard error is taken from ``METRIC_se`` where there is one.
        cost: "nfe", exact, or "ms_per_sample", a median of ``timing_rounds`` times.

    Raises:
        ValueError: there is no such column.
    """
    for name in (metric, cost):
        if name not in frame:
            raise ValueError(f"the table has no column {name!r}; choose a metric and a cost from {', '.join(map(str, frame.columns))}")
    parts = [_with_front(rows.dropna(subset=[metric, cost]), metric, cost) for _, rows in problems(frame)]
    empty = frame.iloc[:0].assign(curve="", slot=0, on_front=False, front="")
    return pd.concat(parts, ignore_index=True) if parts else empty


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is at least as good as ``b`` in both by their point values, and better in one."""
    return a.value <= b.value and a.cost <= b.cost and (a.value < b.value or a.cost < b.cost)


def front_of(point: Point, others: list[Point]) -> Front:
    """Where a point lies, given all others: see the module."""
    if any(_surely_lower(other, point, "value") and _no_dearer(other, point) for other in others):
        return "off"
    harmless = (_surely_lower(point, other, "cost") or _no_worse(point, other) for other in others)
    return "on" if all(harmless) else "uncertain"


def _with_front(rows: pd.DataFrame, metric: str, cost: str) -> pd.DataFrame:
    ordered = rows.sort_values([cost, metric], kind="stable")
    points = [_point(row, metric, cost) for row in rows_of(ordered)]
    others = [points[:index] + points[index + 1 :] for index in range(len(points))]
    return ordered.assign(
        on_front=[not any(dominates(other, point) for other in rest) for point, rest in zip(points, others, strict=True)],
        front=pd.array([front_of(point, rest) for point, rest in zip(points, others, strict=True)], dtype="string"),
    )


def _point(row: Record, metric: str, cost: str) -> Point:
    value, price, iqr, rounds = (number(row, name) for name in (metric, cost, "ms_iqr", "timing_rounds"))
    assert value is not None
    assert price is not None
    value_se = number(row, f"{metric}_se")
    timed = _MEDIAN_SE * iqr / math.sqrt(rounds) if iqr is not None and rounds else math.inf
    return Point(value, math.inf if value_se is None else value_se, price, timed if cost == "ms_per_sample" else 0.0)


def _surely_lower(a: Point, b: Point, axis: Literal["value", "cost"]) -> bool:
    if axis == "value":
        return b.value - a.value > Z95 * math.hypot(a.value_se, b.value_se)
    return b.cost - a.cost > Z95 * math.hypot(a.cost_se, b.cost_se)


def _no_dearer(a: Point, b: Point) -> bool:
    """Whether ``a`` surely costs no more: by count, or by times that are apart."""
    return a.cost <= b.cost if a.cost_se == b.cost_se == 0 else _surely_lower(a, b, "cost")


def _no_worse(point: Point, other: Point) -> bool:
    """Whether ``other`` surely has no lower value than ``point``; two that are equal to rounding are no threat to each other."""
    return _surely_lower(point, other, "value") or (point.cost == other.cost and math.isclose(point.value, other.value, rel_tol=1e-5))
