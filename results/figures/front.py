"""The Pareto front: what no other row beats in quality and cost."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..comparison.pareto import pareto
from ..palette import Style, style
from ..record import Record
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..values import rows_of, text
from .axes import logarithmic, name_at_the_right, title_of
from .series import Point, Series, label, lift, markers, point_of
from .sheet import SOFT, Sheet, Width, sheet, styled

HEIGHT = {"single": 2.5, "double": 3.4}
PALE = 0.35
EQUAL = 1e-5
"""Relative difference of values that counts as none: in one step all methods are the same."""


@styled
def front(
    table: TypedTable, metric: str = "fid_proxy", cost: str = "nfe", *, width: Width = "single"
) -> Sheet:
    """A panel for each model and estimator: all rows as dots, those on the front joined by steps.

    A filled marker is on the front for certain, an open one by its value only
    (:mod:`..comparison.pareto`). A sampler's name belongs to its last point on the front; the
    reader's own samplers are always named.

    Args:
        table: what to draw; finished rows only.
        metric: column of the quality, lower is better.
        cost: "nfe" or "ms_per_sample".
        width: of the figure, in columns of a page.

    Raises:
        ValueError: no row has both columns.
    """
    whole = pareto(table.ok.frame, metric, cost)
    parts = [
        (title, rows)
        for title, rows in comparable_parts(whole)
        if any(point_of(row, metric, cost) for row in rows_of(rows))
    ]
    if not parts:
        raise ValueError(
            f"no finished row has {metric} and {cost} to draw; choose columns that have values"
        )
    figure, panels = sheet(width, HEIGHT[width], len(parts))
    best = [_draw(axes, rows, metric, cost) for axes, (_, rows) in zip(panels, parts, strict=True)]
    for axes, (title, _) in zip(panels, parts, strict=True):
        axes.set(title=title, xlabel=title_of(cost), ylabel=title_of(metric))
    figure.draw_without_rendering()
    for axes, rows in zip(panels, best, strict=True):
        name_at_the_right(axes, rows)
    return figure


def _draw(axes: Axes, frame: pd.DataFrame, metric: str, cost: str) -> list[Series]:
    """Draw the rows as dots; return what is named: curves at their last point on the front, and own
    ones.
    """
    row_points = [(row, point) for row in rows_of(frame) if (point := point_of(row, metric, cost))]
    logarithmic(axes, [point.x for _, point in row_points], [point.y for _, point in row_points])
    leads = _leads([(row, point) for row, point in row_points if row["on_front"]])
    last: dict[str, Series] = {}
    for row, point in sorted(row_points, key=lambda item: item[1].x):
        look = _look(row)
        bold: dict[str, Any] = {"ms": 5.5, "alpha": 1} if look.own else {"ms": 3, "alpha": PALE}
        axes.plot(
            [point.x], [point.y], ".", mew=0, color=look.colour, zorder=2 + lift(look), **bold
        )
        if look.own:  # always named, at its last point
            last[text(row, "curve")] = Series(label(text(row, "curve")), look, (point,))
    axes.step(
        [point.x for _, point in leads],
        [point.y for _, point in leads],
        where="post",
        color=SOFT,
        lw=0.8,
        zorder=2.5,
    )
    for row, point in leads:
        look = _look(row)
        dot: dict[str, Any] = {**markers(look), "markersize": 7 if look.own else 5}
        if row["front"] != "on":
            dot |= {
                "markerfacecolor": "white",
                "markeredgecolor": look.colour,
                "markeredgewidth": 0.9,
            }
        axes.plot([point.x], [point.y], linestyle="", zorder=3 + lift(look), **dot)
        if not look.own:
            last[text(row, "curve")] = Series(label(text(row, "curve")), look, (point,))
    return list(last.values())


def _look(row: Record) -> Style:
    return style(text(row, "sampler"), text(row, "origin"))


def _leads(rows: list[tuple[Record, Point]]) -> list[tuple[Record, Point]]:
    """Rows of the front, by cost; of those equal to rounding the first."""
    leads: list[tuple[Record, Point]] = []
    for row, point in rows:
        if not leads or point.y < leads[-1][1].y * (1 - EQUAL):
            leads.append((row, point))
    return leads
