"""Figures of costs to targets over all models of a table: distributions, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter
from numpy.typing import NDArray

from ..palette import Style
from ..quantities import find
from ..table.curves import add_curves_and_slots, comparable_parts
from ..table.typed_table import TypedTable
from ..text import format_number
from ..values import rows_as_dicts, text
from .axes import (
    HEIGHT,
    axis_title_of,
    floor_of,
    short_title,
    spaced_ticks,
    write_curve_names,
)
from .series import Point, Series, curve_label, line_keywords, style_of, zorder_increase
from .typography import Sheet, Width, sheet_with_panels, with_typography
from .work_precision import NAMED

METRICS = ("typical_error", "fd_conv", "fid_proxy", "rmse")
"""Metrics of which the first with values is the default."""
TARGETS = 41
"""Number of targets for each model and estimator."""
ASTRAY = 10.0
"""Most that a diverged curve raises the largest target, as a multiple of the median curve's value."""
BEYOND = 1.12
"""Ratio of the axis's end to the largest number, so that the last step is seen."""

Costs = Mapping[str, NDArray[np.float64]]
"""Costs to each (model, target) by curve; inf for a target that is never reached."""


@with_typography
def ecdf(
    table: TypedTable, metric: str = "", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw the share of (model, target) pairs that each curve reaches, against the cost.

    A curve reaches a target with the cheapest row whose ``metric`` is at most the target. A missing
    or failed row reaches nothing. A model's targets are evenly spaced in the logarithm, from its
    largest value of the metric, at most :data:`ASTRAY` times the median curve's, to the metric's
    floor. Without a floor, they end at the smallest positive value. Without ``metric``, the first
    of :data:`METRICS` that has values is drawn.
    Raises a ValueError if no row has ``metric`` above 0 and ``cost``, or higher values are better.
    """
    metric = metric or default_metric(table)
    costs, styles = costs_to_targets(table, metric, cost)
    axes = f"Cost to target: {short_title(metric)}", axis_title_of(cost)
    return _draw_shares(costs, styles, axes, width)


@with_typography
def profile(
    table: TypedTable, metric: str = "", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw the share of (model, target) pairs on which a curve costs at most tau times the best.

    At tau = 1, the share counts the targets that the curve reaches at the lowest cost. At the right
    end, it counts all targets that the curve reaches. Targets, ``metric`` and exceptions are as in
    :func:`ecdf`. Source: Dolan and Moré 2002, Mathematical Programming 91, 201-213.
    """
    metric = metric or default_metric(table)
    costs, styles = costs_to_targets(table, metric, cost)
    best = np.min(list(costs.values()), axis=0)
    best[np.isinf(best)] = 1.0  # a target that no curve reaches stays at an infinite ratio
    axes = f"Performance profile: {short_title(metric)}", "Cost over the lowest cost"
    ratios = {curve: np.where(np.isinf(own), math.inf, own / best) for curve, own in costs.items()}
    return _draw_shares(ratios, styles, axes, width)


def default_metric(table: TypedTable) -> str:
    """Return the first of :data:`METRICS` that has values in a table; the last if none has."""
    frame = table.ok.frame
    return next((name for name in METRICS if len(frame[name].dropna())), METRICS[-1])


def costs_to_targets(table: TypedTable, metric: str, cost: str) -> tuple[Costs, dict[str, Style]]:
    """Return, by curve, the costs to all (model, target) pairs (inf if not reached); and styles.

    A curve without a finished row reaches nothing. A curve whose finished rows lack the metric has
    no costs. For example, a stochastic sampler has no distance to the solution of the ODE.
    Raises a ValueError as :func:`ecdf` does.
    """
    if not find(metric).lower:
        raise ValueError(f"{metric} has no targets here; choose a metric of which lower is better")
    parts: list[dict[str, NDArray[np.float64]]] = []
    styles: dict[str, Style] = {}
    finished = set[str]()
    curves = add_curves_and_slots(table.frame, alike=True)["curve"]
    for _, frame in comparable_parts(table.frame):
        frame = frame.assign(curve=curves.loc[frame.index])
        styles |= {text(row, "curve"): style_of(row) for row in rows_as_dicts(frame)}
        rows = frame.loc[frame["status"] == "ok"]
        finished |= set(rows["curve"])
        if not {metric, cost} <= set(rows):
            continue
        rows = rows.loc[rows[cost] > 0].dropna(subset=[metric])
        values = rows[metric].to_numpy(float)
        if not (values > 0).any():
            continue
        worst = rows.loc[values > 0].groupby("curve")[metric].max().sort_values().to_numpy(float)
        floor = floor_of(metric, rows_as_dicts(rows))
        lowest = min(floor[0], worst[-1]) if floor else values[values > 0].min()
        highest = max(lowest, min(worst[-1], ASTRAY * worst[len(worst) // 2]))
        targets = np.geomspace(highest, lowest, TARGETS) * (1 + 1e-9)  # rounding
        spent = np.where(values[:, None] <= targets, rows[cost].to_numpy(float)[:, None], math.inf)
        names = rows["curve"].to_numpy(str)
        parts.append({name: spent[names == name].min(axis=0) for name in np.unique(names).tolist()})
    if not parts:
        raise ValueError(
            f"no finished row has {metric} above 0 and {cost} to draw; choose columns that have values"
        )
    measured = {curve for part in parts for curve in part}
    never = np.full(TARGETS, math.inf)
    names = sorted(measured | (styles.keys() - finished))
    return {c: np.concatenate([part.get(c, never) for part in parts]) for c in names}, styles


def _draw_shares(
    numbers: Mapping[str, NDArray[np.float64]],
    styles: Mapping[str, Style],
    titles: tuple[str, str],
    width: Width,
) -> Sheet:
    """Draw the distribution of each curve's ``numbers`` (costs or ratios) on a logarithmic axis.

    A number is inf if its target is never reached. ``titles`` are for the figure and the x axis.
    Of many curves, only curves of plugins and the best are named.
    """
    known = [n for some in numbers.values() for n in some[np.isfinite(some)].tolist()]
    right = max(known) * BEYOND
    figure, (axes,) = sheet_with_panels(width, HEIGHT[width], 1)
    axes.set(title=titles[0], xlabel=titles[1], ylabel="Share of targets", xscale="log")
    axes.set(xlim=(min(known), right), ylim=(0, 1.01))
    axes.xaxis.set_major_locator(FixedLocator(spaced_ticks(known, 0.08)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value, 2)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y")
    by_area = sorted(numbers, key=lambda curve: np.log(np.minimum(numbers[curve], right)).sum())
    named: list[Series] = []
    for curve in sorted(by_area, key=lambda curve: not styles[curve].own):
        steps, style = sorted({*known, right}), styles[curve]
        points = tuple(Point(x, float((numbers[curve] <= x).mean())) for x in steps)
        look: dict[str, Any] = line_keywords(style)
        if len(named) < NAMED[width]:
            named.append(Series(curve_label(curve), style, points))
        else:
            look |= {"linewidth": 0.6, "alpha": 0.3}
        up = zorder_increase(style) + 0.9 / (1 + len(named))  # the best on top
        axes.step(steps, [y for _, y, *_ in points], where="post", zorder=2 + up, **look)
    figure.draw_without_rendering()  # names are placed by the final layout
    write_curve_names(axes, named[::-1])  # of equal ends, the best has the highest name
    return figure
