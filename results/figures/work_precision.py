"""Figures of quality against cost: work-precision plots, and Pareto fronts of rows that none beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..comparison.pareto import pareto
from ..comparison.verdicts import COINCIDE
from ..quantities import find
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..values import Record, number, rows_as_dicts, text
from .axes import draw_floor_line, draw_quality_against_cost, floor_of, set_log_scales
from .series import (
    Point,
    Series,
    curve_label,
    curves_to_name,
    line_keywords,
    marker_keywords,
    points_of,
    series_of,
    style_of,
    zorder_increase,
)
from .typography import RULE, SOFT, Sheet, Width, with_typography

Polyline = Sequence[tuple[float, float]]
"""Points of a curve, in data coordinates."""

ORDERS = (1, 2, 3)
WIDE, STEEP = 0.22, 0.34
"""Largest shares of the axes' width and height that the fan of order lines takes."""
EDGE = 0.03
"""Margin around the fan, to the axes' edge and to data, as a share of the axes."""
LETTERS = 0.09
"""Share of the axes' height and width for the fan's title, and for the orders at its ends."""
SIZES = (1.0, 0.75, 0.55)
"""Relative sizes of the fan. The first with a free place is used."""
ALONG = 24
"""Number of points on each piece of a curve at which overlap with the fan is tested."""


def draw_order_slopes(axes: Axes, exponent: int, paths: Sequence[Polyline]) -> None:
    """Draw lines of slope -p * ``exponent`` for orders p = 1, 2 and 3, where they cover no path."""
    steepest = exponent * max(ORDERS)
    place = _free_place(axes, steepest, paths)
    if place is None:
        (_, _), (bottom, top) = _log_limits(axes)
        axes.set_ylim(math.exp(bottom - 0.45 * (top - bottom)), math.exp(top))
        place = _free_place(axes, steepest, paths) or (EDGE, EDGE, SIZES[-1])
    _draw_fan(axes, *place, exponent)


def _draw_fan(axes: Axes, u: float, v: float, size: float, exponent: int) -> None:
    """Draw the fan of order lines, its lower left corner at shares ``(u, v)`` of the axes."""
    (left, right), (bottom, top) = _log_limits(axes)
    steepest = exponent * max(ORDERS)
    run = _fan_width(axes, steepest, size)
    x, y = left + u * (right - left), bottom + v * (top - bottom) + steepest * run
    words: dict[str, Any] = {"textcoords": "offset points", "color": SOFT, "fontsize": 5.5}
    for order in ORDERS:
        end = (math.exp(x + run), math.exp(y - exponent * order * run))
        axes.plot([math.exp(x), end[0]], [math.exp(y), end[1]], color=RULE, lw=0.9, zorder=0.5)
        axes.annotate(str(order), end, (2, 0), va="center", **words)
    axes.annotate("order", (math.exp(x), math.exp(y)), (0, 3), **words)


def _free_place(
    axes: Axes, steepest: int, paths: Sequence[Polyline]
) -> tuple[float, float, float] | None:
    """Return the place ``(u, v, size)`` of a fan that covers no path; None if there is none."""
    (left, right), (bottom, top) = _log_limits(axes)
    shares = axes.transScale + axes.transLimits
    dots = np.concatenate([_points_along(shares.transform(path)) for path in paths])

    def from_the_edge(place: tuple[float, float]) -> tuple[float, float, float]:
        u, v = place
        return min(u, 1 - u) + min(v, 1 - v), u, v

    for size in SIZES:
        run = _fan_width(axes, steepest, size)
        extent = np.array([run / (right - left), steepest * run / (top - bottom)]) + LETTERS
        rooms = np.maximum(0.0, 1 - 2 * EDGE - extent).tolist()
        across, up = ([EDGE + room * step / 8 for step in range(9)] for room in rooms)
        for u, v in sorted(product(across, up), key=from_the_edge):
            low = np.array([u, v]) - EDGE
            covered = (dots >= low) & (dots <= low + extent + 2 * EDGE)
            if not covered.all(axis=1).any():
                return u, v, size
    return None


def _fan_width(axes: Axes, steepest: int, size: float) -> float:
    (left, right), (bottom, top) = _log_limits(axes)
    return size * min(WIDE * (right - left), STEEP * (top - bottom) / steepest)


def _points_along(path: np.ndarray) -> np.ndarray:
    corners = np.arange(len(path))
    places = np.linspace(0, corners[-1], ALONG * corners[-1] + 1)
    return np.stack([np.interp(places, corners, side) for side in path.T], axis=1)


def _log_limits(axes: Axes) -> tuple[tuple[float, float], tuple[float, float]]:
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return (math.log(left), math.log(right)), (math.log(bottom), math.log(top))


NAMED = {"single": 10, "double": 14}
"""Largest number of named curves. Others are drawn pale."""

NEAR = 10
"""Largest ratio of the lowest point to a floor at which the axes still include the floor."""


@with_typography
def work_precision(
    table: TypedTable, metric: str = "fid_proxy", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw a panel for each model and estimator: ``metric`` against ``cost``, a curve per sampler.

    Bars are 95 % intervals. A downward triangle is the upper end of the interval of a value <= 0.
    The dashed line is the metric's floor (:class:`..quantities.Floor`). The fan of lines has the
    slopes of orders 1, 2 and 3. Of many curves, only curves of plugins, the best and one per family
    are named. ``cost`` is "nfe", "ms_per_sample", "joules_per_sample" or "steps".
    Raises a ValueError if no row has both ``metric`` and ``cost``.
    """
    parts = {
        title: (series, rows)
        for title, rows in comparable_parts(table.ok.frame)
        if (series := series_of(rows, metric, cost))
    }

    def draw(axes: Axes, part: tuple[list[Series], pd.DataFrame]) -> list[Series]:
        named = curves_to_name(part[0], NAMED[width], metric)
        _draw_panel(axes, part[0], named, metric, part[1])
        return named

    return draw_quality_against_cost(parts, metric, cost, width, draw)


def _draw_panel(
    axes: Axes, series: list[Series], named: list[Series], metric: str, rows: pd.DataFrame
) -> None:
    points = [point for curve in series for point in curve.points]
    floor = floor_of(metric, rows_as_dicts(rows))
    values = [point.y for point in points]
    near = [floor[0]] if floor and floor[0] > min(values) / NEAR else []
    set_log_scales(axes, [point.x for point in points], values + near)
    if power := find(metric).power:
        paths = [[(point.x, point.y) for point in curve.points] for curve in series]
        draw_order_slopes(axes, power, [*paths, *_floor_paths(axes, floor)])
    if floor:
        draw_floor_line(axes, *floor)
    for curve in reversed(series):
        _draw_curve(axes, curve, pale=curve not in named)


def _floor_paths(axes: Axes, floor: tuple[float, str] | None) -> list[list[tuple[float, float]]]:
    """Return paths on the floor's line and label, which the fan avoids; [] if outside the axes."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if not floor or not low < floor[0] < high:
        return []
    above = floor[0] * (high / low) ** 0.04
    return [
        [(left, floor[0]), (right, floor[0])],
        [(left, above), (math.sqrt(left * right), above)],
    ]


def _draw_curve(axes: Axes, series: Series, *, pale: bool) -> None:
    """Draw a curve's line, error bars and markers; only a thin line if ``pale``."""
    xs, ys = [point.x for point in series.points], [point.y for point in series.points]
    if pale:
        thin: dict[str, Any] = {**line_keywords(series.style), "linewidth": 0.6}
        axes.plot(xs, ys, **thin, alpha=0.3, zorder=1.5)
        return
    up, colour = zorder_increase(series.style), series.style.colour
    axes.plot(xs, ys, **line_keywords(series.style), zorder=2 + up)
    low = axes.get_ylim()[0]
    for x, _, bottom, top, _ in series.points:
        if bottom is not None and top is not None:
            bar = [max(bottom, low), top]
            axes.plot([x, x], bar, color=colour, lw=0.8, alpha=0.6, zorder=2.2 + up)
    down: dict[str, Any] = {"marker": "v", "markerfacecolor": "white", "markeredgecolor": colour}
    for is_limit in (False, True):
        some = [point for point in series.points if point.is_limit == is_limit]
        keywords = marker_keywords(series.style) | (down if is_limit else {})
        xs, ys = [point.x for point in some], [point.y for point in some]
        axes.plot(xs, ys, linestyle="", zorder=2.5 + up, **keywords)


PALE = 0.35


@with_typography
def front(
    table: TypedTable, metric: str = "fid_proxy", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw a panel for each model and estimator: rows as dots, the front joined by steps.

    A filled marker means that a row is surely on the front, an open marker that it is there by its
    value alone (:mod:`..comparison.pareto`). A downward triangle is the upper end of the interval
    of a value <= 0; no step leads to it. A sampler is named at its last point on the front.
    Samplers of plugins are always named. ``cost`` is "nfe" or "ms_per_sample".
    Raises a ValueError if no row has both ``metric`` and ``cost``.
    """
    whole = pareto(table.ok.frame, metric, cost)
    parts = {
        title: rows for title, rows in comparable_parts(whole) if points_of(rows, metric, cost)
    }
    return draw_quality_against_cost(
        parts, metric, cost, width, lambda axes, rows: _draw_front(axes, rows, metric, cost)
    )


def _draw_front(axes: Axes, frame: pd.DataFrame, metric: str, cost: str) -> list[Series]:
    row_points = points_of(frame, metric, cost)
    set_log_scales(axes, [point.x for _, point in row_points], [point.y for _, point in row_points])
    loss = find(metric).loss
    leads: list[tuple[Record, Point]] = []  # by cost; of rows equal but for rounding, the first
    least = math.inf
    for row, point in row_points:
        value = number(row, metric) or 0.0
        if row["on_front"] and loss(value) < least:
            leads.append((row, point))
            least = loss(value) - COINCIDE * abs(value)
    last: dict[str, Series] = {}
    for row, point in sorted(row_points, key=lambda item: item[1].x):
        style = style_of(row)
        bold: dict[str, Any] = {"ms": 5.5, "alpha": 1} if style.own else {"ms": 3, "alpha": PALE}
        bold |= {"mew": 0, "color": style.colour, "zorder": 2 + zorder_increase(style)}
        bold |= {"marker": "v", "mfc": "white", "mew": 0.7} if point.is_limit else {"marker": "."}
        axes.plot([point.x], [point.y], linestyle="", **bold)
        if style.own:  # always named, at its last point
            last[text(row, "curve")] = Series(curve_label(text(row, "curve")), style, (point,))
    stairs = [(point.x, point.y) for _, point in leads if not point.is_limit]
    axes.step(*np.array(stairs).reshape(-1, 2).T, where="post", color=SOFT, lw=0.8, zorder=2.5)
    for row, point in leads:
        style = style_of(row)
        face = style.colour if row["front"] == "on" else "white"
        dot: dict[str, Any] = {**marker_keywords(style), "markersize": 7 if style.own else 5}
        dot |= {"markerfacecolor": face, "markeredgecolor": style.colour, "markeredgewidth": 0.9}
        dot |= {"marker": "v"} if point.is_limit else {}
        axes.plot([point.x], [point.y], linestyle="", zorder=3 + zorder_increase(style), **dot)
        if not style.own:
            last[text(row, "curve")] = Series(curve_label(text(row, "curve")), style, (point,))
    return list(last.values())
