"""Figures of costs to targets over all models of a table: distributions, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..palette import Style
from ..quantities import find
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..values import rows_as_dicts, text
from .axes import axis_title_of, floor_of, short_title
from .series import style_of
from .shares import draw_shares
from .typography import Sheet, Width, with_typography

METRICS = ("typical_error", "fd_conv", "fid_proxy", "rmse")
"""Metrics of which the first with values is the default."""
TARGETS = 41
"""Number of targets for each model and estimator."""

Costs = Mapping[str, NDArray[np.float64]]
"""Costs to each (model, target) by curve; inf for a target that is never reached."""


@with_typography
def ecdf(
    table: TypedTable, metric: str = "", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw the share of (model, target) pairs that each curve reaches, against the cost.

    A curve reaches a target with the cheapest row whose ``metric`` is at most the target. A missing
    or failed row reaches nothing. A model's targets are evenly spaced in the logarithm, from its
    largest value of the metric to the metric's floor. Without a floor, they end at the smallest
    positive value. Without ``metric``, the first of :data:`METRICS` that has values is drawn.

    Raises:
        ValueError: no row has both columns, or higher is better.
    """
    metric = metric or default_metric(table)
    costs, styles = costs_to_targets(table, metric, cost)
    axes = f"Cost to target: {short_title(metric)}", axis_title_of(cost)
    return draw_shares(costs, styles, axes, width)


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
    return draw_shares(ratios, styles, axes, width)


def default_metric(table: TypedTable) -> str:
    """Return the first of :data:`METRICS` that has values in a table; the last if none has."""
    frame = table.ok.frame
    return next((name for name in METRICS if len(frame[name].dropna())), METRICS[-1])


def costs_to_targets(table: TypedTable, metric: str, cost: str) -> tuple[Costs, dict[str, Style]]:
    """Return two mappings by curve: costs to all targets of a table, and styles.

    A curve without a finished row reaches nothing. A curve whose finished rows lack the metric has
    no costs. For example, a stochastic sampler has no distance to the solution of the ODE.

    Raises:
        ValueError: no row has both columns, or higher is better.
    """
    if not find(metric).lower:
        raise ValueError(f"{metric} has no targets here; choose a metric of which lower is better")
    parts: list[dict[str, NDArray[np.float64]]] = []
    styles: dict[str, Style] = {}
    finished = set[str]()
    for _, frame in comparable_parts(table.frame):
        styles |= {text(row, "curve"): style_of(row) for row in rows_as_dicts(frame)}
        rows = frame.loc[frame["status"] == "ok"]
        finished |= set(rows["curve"])
        if not {metric, cost} <= set(rows):
            continue
        rows = rows.loc[rows[cost] > 0].dropna(subset=[metric])
        values = rows[metric].to_numpy(float)
        if not (values > 0).any():
            continue
        floor = floor_of(metric, rows_as_dicts(rows))
        lowest = min(floor[0], values.max()) if floor else values[values > 0].min()
        targets = np.geomspace(values.max(), lowest, TARGETS) * (1 + 1e-9)  # rounding
        spent = np.where(values[:, None] <= targets, rows[cost].to_numpy(float)[:, None], math.inf)
        names = rows["curve"].to_numpy(str)
        parts.append({name: spent[names == name].min(axis=0) for name in np.unique(names).tolist()})
    if not parts:
        raise ValueError(
            f"no finished row has {metric} and {cost} to draw; choose columns that have values"
        )
    measured = {curve for part in parts for curve in part}
    never = np.full(TARGETS, math.inf)
    curves = sorted(measured | (styles.keys() - finished))
    return {c: np.concatenate([part.get(c, never) for part in parts]) for c in curves}, styles
