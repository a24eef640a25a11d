"""Quality against cost: the plot that says which sampler to use."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..quantities import find
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..values import rows_of
from .axes import floor_line, floor_of, logarithmic, title_of
from .labels import name_at_the_right
from .markers import lift, line, markers
from .order_slopes import order_slopes
from .series import Series, notable, series_of
from .sheet import Sheet, Width, sheet, styled

HEIGHT = {"single": 2.5, "double": 3.4}
NAMED = {"single": 10, "double": 14}
"""Curves that have room for a name; others are drawn pale."""

NEAR = 10
"""A floor up to so many times below all points is shown too."""


@styled
def work_precision(
    table: TypedTable, metric: str = "fid_proxy", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """A panel for each model and estimator: ``metric`` against ``cost``, both logarithmic, a curve
    for each sampler.

    Bars are 95 % intervals; a downward triangle is the upper end of the interval of a value that is
    not positive. The dashed line is what the metric cannot see below (:class:`..quantities.Floor`).
    The fan has the slopes of orders 1, 2 and 3. Of many curves, the best and one of each family are
    named.

    Args:
        table: what to draw; finished rows only.
        metric: column of the quality, lower is better.
        cost: "nfe", "ms_per_sample", "joules_per_sample" or "steps".
        width: of the figure, in columns of a page.

    Raises:
        ValueError: no row has both columns.
    """
    parts = [
        (title, rows, curves)
        for title, rows in comparable_parts(table.ok.frame)
        if (curves := series_of(rows, metric, cost))
    ]
    if not parts:
        raise ValueError(
            f"no finished row has {metric} and {cost} to draw; choose columns that have values"
        )
    figure, panels = sheet(width, HEIGHT[width], len(parts))
    for axes, (title, rows, series) in zip(panels, parts, strict=True):
        _draw(axes, series, notable(series, NAMED[width]), metric, rows)
        axes.set(title=title, xlabel=title_of(cost), ylabel=title_of(metric))
    figure.draw_without_rendering()  # the layout, which says how far apart names must be
    for axes, (_, _, series) in zip(panels, parts, strict=True):
        name_at_the_right(axes, notable(series, NAMED[width]))
    return figure


def _draw(
    axes: Axes, series: list[Series], named: list[Series], metric: str, rows: pd.DataFrame
) -> None:
    points = [point for curve in series for point in curve.points]
    floor = floor_of(metric, rows_of(rows))
    values = [point.y for point in points]
    near = [floor[0]] if floor and floor[0] > min(values) / NEAR else []
    logarithmic(axes, [point.x for point in points], values + near)
    if power := find(metric).power:
        order_slopes(
            axes,
            power,
            [[(point.x, point.y) for point in curve.points] for curve in series]
            + _edge(axes, floor),
        )
    if floor:
        floor_line(axes, *floor)
    for curve in reversed(series):
        _curve(axes, curve, pale=curve not in named)


def _edge(axes: Axes, floor: tuple[float, str] | None) -> list[list[tuple[float, float]]]:
    """The floor as a curve, and another one above it where its name stands.

    Nothing where it lies outside.
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if not floor or not low < floor[0] < high:
        return []
    above = floor[0] * (high / low) ** 0.04
    return [
        [(left, floor[0]), (right, floor[0])],
        [(left, above), (math.sqrt(left * right), above)],
    ]


def _curve(axes: Axes, series: Series, *, pale: bool) -> None:
    """A curve: its line through all points, bars, and markers, an upper limit having a triangle
    that points down.
    """
    xs, ys = [point.x for point in series.points], [point.y for point in series.points]
    if pale:
        thin: dict[str, Any] = {**line(series.style), "linewidth": 0.6}
        axes.plot(xs, ys, **thin, alpha=0.3, zorder=1.5)
        return
    up = lift(series.style)
    axes.plot(xs, ys, **line(series.style), zorder=2 + up)
    low = axes.get_ylim()[0]
    for x, _, bottom, top, _ in series.points:
        if bottom is not None and top is not None:
            axes.plot(
                [x, x],
                [max(bottom, low), top],
                color=series.style.colour,
                lw=0.8,
                alpha=0.6,
                zorder=2.2 + up,
            )
    for limit in (False, True):
        some = [(point.x, point.y) for point in series.points if point.limit == limit]
        down: dict[str, Any] = (
            {"marker": "v", "markerfacecolor": "white", "markeredgecolor": series.style.colour}
            if limit
            else {}
        )
        axes.plot(
            *zip(*some, strict=True) if some else ([], []),
            linestyle="",
            zorder=2.5 + up,
            **(markers(series.style) | down),
        )
