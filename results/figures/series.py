"""Rows as curves of a plot, with styles, and the choice of curves to name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from ..palette import SYMBOLS, Style, style
from ..printed_values import error_bar_on_log_axis
from ..quantities import find
from ..text import cut_middle
from ..values import Record, number, rows_as_dicts, text

MARKERS: dict[str, str] = dict(zip(SYMBOLS, "osD^X*pPhv", strict=True))
LINES: dict[str, Any] = {
    "solid": "-",
    "dot": (0, (1, 1.4)),
    "dash": (0, (4, 1.6)),
    "dashdot": (0, (4, 1.4, 1, 1.4)),
    "longdash": (0, (7, 2)),
    "longdashdot": (0, (7, 1.6, 1, 1.6)),
}

THICK = 2.0
"""Line width, in points, of plugins' samplers."""
ABOVE = 1.5
"""Increase of the ``zorder`` of plugins' samplers, so that they are on top."""


def marker_keywords(style: Style) -> dict[str, Any]:
    """Return the keywords of ``Axes.plot`` for the markers of a curve."""
    is_open = style.symbol.endswith("-open")
    symbol = MARKERS[style.symbol.removesuffix("-open")]
    return {
        "marker": symbol,
        "markersize": (5 if symbol == "*" else 3.6) * (1.5 if style.own else 1),
        "markerfacecolor": "white" if is_open else style.colour,
        "markeredgecolor": style.colour if is_open else "white",
        "markeredgewidth": 0.7 if is_open else 0.35,
    }


def line_keywords(style: Style) -> dict[str, Any]:
    """Return the keywords of ``Axes.plot`` for the line of a curve."""
    thick = {"linewidth": THICK} if style.own else {}
    return {"color": style.colour, "linestyle": LINES[style.dash], **thick}


def zorder_increase(style: Style) -> float:
    """Return the increase of a curve's ``zorder``: :data:`ABOVE` for plugins' samplers, else 0."""
    return ABOVE if style.own else 0.0


LONGEST = 30
"""Largest number of letters of a curve's name in a figure."""


class Point(NamedTuple):
    """Row as a point (cost, value) of a curve. With ``is_limit``, y is an upper limit of a value <= 0."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    is_limit: bool = False


@dataclass(frozen=True)
class Series:
    """Curve of a plot: its name, its style, and its points sorted by x."""

    name: str
    style: Style
    points: tuple[Point, ...]


def series_of(rows: pd.DataFrame, metric: str, cost: str) -> list[Series]:
    """Return the curves of one problem, sorted by the value of their last point, lowest first."""
    points: dict[str, list[Point]] = defaultdict(list)
    styles: dict[str, Style] = {}
    for row, point in points_of(rows.loc[rows["status"] == "ok"], metric, cost):
        points[text(row, "curve")].append(point)
        styles[text(row, "curve")] = style_of(row)
    curves = [
        Series(curve_label(curve), styles[curve], tuple(sorted(some)))
        for curve, some in points.items()
    ]
    return sorted(curves, key=lambda one: (one.points[-1].y, one.name))


def points_of(rows: pd.DataFrame, metric: str, cost: str) -> list[tuple[Record, Point]]:
    """Return rows of one problem as points; none if no row has a place on a logarithmic axis.

    A value <= 0 becomes a limit: its interval's upper end if positive, else the smallest y of all.
    Rows without metric or a cost > 0 are left out.
    """
    found = [
        (row, point_of(row, metric, cost))
        for row in rows_as_dicts(rows)
        if (number(row, cost) or 0.0) > 0 and number(row, metric) is not None
    ]
    least = min((point.y for _, point in found if point), default=None)
    if least is None:
        return []
    return [
        (row, point or Point(number(row, cost) or 0.0, least, is_limit=True))
        for row, point in found
    ]


def style_of(row: Record) -> Style:
    """Return the style of a row's sampler."""
    return style(text(row, "sampler"), text(row, "origin"))


def point_of(row: Record, metric: str, cost: str) -> Point | None:
    """Return a row as a point; None without cost or metric, or off a logarithmic axis."""
    x, (y, low, high, is_limit) = number(row, cost), error_bar_on_log_axis(row, metric)
    return None if x is None or y is None or x <= 0 else Point(x, y, low, high, is_limit)


def curve_label(words: str) -> str:
    """Return a name on one line, cut to :data:`LONGEST` letters."""
    return cut_middle(" ".join(words.split()), LONGEST)


def curves_to_name(series: list[Series], most: int, metric: str = "") -> list[Series]:
    """Return up to ``most`` curves to name, in the order of ``series``.

    Curves of plugins are chosen first, then the best curve at each cost, then one of each family.
    The best is by ``metric``; "" means that lower is better.
    """
    if len(series) <= most:
        return series
    lowest: dict[float, tuple[float, int]] = {}
    heads: dict[str, int] = {}
    loss = find(metric).loss
    for index, curve in enumerate(series):
        heads.setdefault(curve.style.family, index)
        for point in curve.points:
            own = (loss(point.y), index)
            lowest[point.x] = min(lowest.get(point.x, own), own)
    wins = [index for _, (_, index) in sorted(lowest.items(), reverse=True)]
    own_indices = [index for index, curve in enumerate(series) if curve.style.own]
    order = dict.fromkeys([*own_indices, *wins, *heads.values(), *range(len(series))])
    return [series[index] for index in sorted(list(order)[:most])]
