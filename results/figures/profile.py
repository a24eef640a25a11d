"""Figure of performance profiles (Dolan and Moré 2002, Mathematical Programming 91, 201-213)."""

from __future__ import annotations

import math

import numpy as np

from ..table.typed_table import TypedTable
from .axes import short_title
from .ecdf import costs_to_targets, default_metric
from .shares import draw_shares
from .sheet import Sheet, Width, with_typography


@with_typography
def profile(
    table: TypedTable, metric: str = "", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw the share of (model, target) pairs on which a curve costs at most tau times the best.

    At tau = 1 it is the share of targets on which the curve is the best, at the right end the share
    that it reaches. Targets and ``metric`` are as in :func:`.ecdf.ecdf`.

    Raises:
        ValueError: no row has both columns.
    """
    metric = metric or default_metric(table)
    costs, styles = costs_to_targets(table, metric, cost)
    best = np.min(list(costs.values()), axis=0)
    best[np.isinf(best)] = 1.0  # a target that no curve reaches stays at an infinite ratio
    axes = f"Performance profile: {short_title(metric)}", "Cost over the lowest cost"
    ratios = {curve: np.where(np.isinf(own), math.inf, own / best) for curve, own in costs.items()}
    return draw_shares(ratios, styles, axes, width)
