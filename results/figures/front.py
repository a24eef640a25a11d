"""Figure of the Pareto front: rows that no other row beats in quality and cost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..comparison.pareto import pareto
from ..comparison.verdicts import COINCIDE
from ..quantities import find
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..values import Record, rows_as_dicts, text
from .axes import draw_quality_against_cost, set_log_scales
from .series import Point, Series, curve_label, marker_keywords, point_of, style_of, zorder_increase
from .typography import SOFT, Sheet, Width, with_typography

PALE = 0.35


@with_typography
def front(
    table: TypedTable, metric: str = "fid_proxy", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """Draw a panel for each model and estimator: rows as dots, the front joined by steps.

    A filled marker means that a row is surely on the front, an open marker that it is there by its
    value alone (:mod:`..comparison.pareto`). A sampler is named at its last point on the front.
    Samplers of plugins are always named. ``cost`` is "nfe" or "ms_per_sample".

    Raises:
        ValueError: no row has both ``metric`` and ``cost``.
    """
    whole = pareto(table.ok.frame, metric, cost)
    parts = {
        title: rows
        for title, rows in comparable_parts(whole)
        if any(point_of(row, metric, cost) for row in rows_as_dicts(rows))
    }
    return draw_quality_against_cost(
        parts, metric, cost, width, lambda axes, rows: _draw_front(axes, rows, metric, cost)
    )


def _draw_front(axes: Axes, frame: pd.DataFrame, metric: str, cost: str) -> list[Series]:
    row_points = [
        (row, point) for row in rows_as_dicts(frame) if (point := point_of(row, metric, cost))
    ]
    set_log_scales(axes, [point.x for _, point in row_points], [point.y for _, point in row_points])
    loss = find(metric).loss
    leads: list[tuple[Record, Point]] = []  # by cost; of rows equal but for rounding, the first
    for row, point in row_points:
        least = loss(leads[-1][1].y) - COINCIDE * leads[-1][1].y if leads else math.inf
        if row["on_front"] and loss(point.y) < least:
            leads.append((row, point))
    last: dict[str, Series] = {}
    for row, point in sorted(row_points, key=lambda item: item[1].x):
        style = style_of(row)
        bold: dict[str, Any] = {"ms": 5.5, "alpha": 1} if style.own else {"ms": 3, "alpha": PALE}
        bold |= {"mew": 0, "color": style.colour, "zorder": 2 + zorder_increase(style)}
        axes.plot([point.x], [point.y], ".", **bold)
        if style.own:  # always named, at its last point
            last[text(row, "curve")] = Series(curve_label(text(row, "curve")), style, (point,))
    xs, ys = [point.x for _, point in leads], [point.y for _, point in leads]
    axes.step(xs, ys, where="post", color=SOFT, lw=0.8, zorder=2.5)
    for row, point in leads:
        style = style_of(row)
        dot: dict[str, Any] = {**marker_keywords(style), "markersize": 7 if style.own else 5}
        if row["front"] != "on":
            dot |= {"markerfacecolor": "white", "markeredgecolor": style.colour}
            dot |= {"markeredgewidth": 0.9}
        axes.plot([point.x], [point.y], linestyle="", zorder=3 + zorder_increase(style), **dot)
        if not style.own:
            last[text(row, "curve")] = Series(curve_label(text(row, "curve")), style, (point,))
    return list(last.values())
