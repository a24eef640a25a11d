"""Axes of figures: labels, logarithmic scales with plain numbers, floors, names of curves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from ..quantities import find, quantities
from ..text import format_number
from ..values import Record, number
from .series import Series, marker_keywords
from .typography import RULE, SOFT, Sheet, Width, sheet_with_panels

Part = TypeVar("Part")

AXES = {
    "nfe": "Network evaluations per sample",
    "steps": "Steps",
    "budget": "Budget of network evaluations per sample",
    "ms_per_sample": "Milliseconds per sample",
    "joules_per_sample": "Joules per sample",
}
HEIGHT = {"single": 2.5, "double": 3.4}
"""Height of a panel in inches, by the width of the figure."""
ROOM, NAMES = 0.25, 0.9
"""Smallest distance of ticks, and width for names right of the axes, in inches."""
NAME_SIZE = 6.5
"""Font size of curve names, in points."""


def set_log_scales(axes: Axes, places: Iterable[float], values: Iterable[float]) -> None:
    """Make both axes logarithmic, and show all ``places`` (x, some with ticks) and ``values`` (y)."""
    xs, ys = sorted(places), sorted(values)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*padded_range(xs[0], xs[-1], 0.03))
    axes.set_ylim(*padded_range(ys[0], ys[-1], 0.05))
    ticks = spaced_ticks(xs, ROOM / max(size_in_inches(axes)[0] - NAMES, 1.0))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    reach = ys[-1] / ys[0]
    subs = (1.0, 2.0, 5.0) if reach < 50 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    if reach > 1e4:
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value)))
    axes.grid(axis="y")


def padded_range(low: float, high: float, share: float) -> tuple[float, float]:
    """Return the range widened at each end by factor (high / low) ** share; 1.5 if low == high."""
    extra = (high / low) ** share if high > low else 1.5
    return low / extra, high * extra


def size_in_inches(axes: Axes) -> tuple[float, float]:
    """Return width and height of the axes in inches, by the current layout."""
    box = axes.bbox.transformed(axes.figure.dpi_scale_trans.inverted())
    return box.width, box.height


def spaced_ticks(places: Iterable[float], share: float = 0.055) -> list[float]:
    """Return ticks at some ``places``, at least a ``share`` of the logarithmic axis apart.

    The smallest and the largest place have ticks. Then the most frequent places with room get one.

    >>> spaced_ticks([1, 5, 9, 10, 10, 19, 20, 20, 35])
    [1, 5, 10, 20, 35]
    """
    counts = Counter(places)
    first, last = min(counts), max(counts)
    near = share * math.log(last / first)
    ticks = [first, last] if first < last else [first]
    for place, _ in sorted(counts.items(), key=lambda item: (-item[1], -item[0])):
        if all(abs(math.log(place / other)) >= near > 0 for other in ticks):
            ticks.append(place)
    return sorted(ticks)


def draw_floor_line(axes: Axes, level: float, meaning: str) -> None:
    """Draw a dashed line at y = ``level``, labelled ``meaning``, if the axes include the level."""
    low, high = axes.get_ylim()
    if low < level < high:
        axes.axhline(level, color=SOFT, lw=0.7, ls=(0, (5, 2)), zorder=1)
        keywords: dict[str, Any] = {"color": SOFT, "fontsize": 6, "va": "bottom"}
        keywords |= {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(meaning, (0, level), (2, 2), **keywords)


def plottable_metrics(frame: pd.DataFrame) -> list[str]:
    """Return the names of quantities that have an axis title, and a positive value in a table."""
    names = [quantity.name for quantity in quantities() if quantity.axis and quantity.name in frame]
    return [name for name in names if len(frame.loc[frame[name] > 0])]


def axis_title_of(column: str) -> str:
    """Return the axis title of a column; its name if it has none."""
    return AXES.get(column) or find(column).axis or column


def short_title(column: str) -> str:
    """Return the short title of a column; its name if it has none."""
    return find(column).short or column


def floor_of(metric: str, rows: list[Record]) -> tuple[float, str] | None:
    """Return level and label of a metric's floor; None if the metric or the rows have none."""
    floor = find(metric).floor
    if floor is None:
        return None
    values = [value for row in rows if (value := number(row, floor.column) or 0.0) > 0]
    return (floor.factor * median(values), floor.meaning) if values else None


GAP, REACH = 0.035, 0.09
"""Shares of the axes' width: leader lines bend GAP / 2 right of the axes, and end at REACH."""


def spread_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions in [low, high] near ``wanted``, in the same order and at least ``gap`` apart.

    ``gap * rank`` is subtracted, a non-decreasing sequence is fitted (isotonic regression) and
    clipped to the range, and ``gap * rank`` is added again.

    >>> spread_labels([0.5, 0.5, 0.9], 0.1, 0.0, 1.0)
    [0.45, 0.55, 0.9]
    """
    order, steps = np.argsort(wanted, kind="stable"), gap * np.arange(len(wanted))
    flat = isotonic_regression(np.asarray(wanted)[order] - steps).x
    places = np.empty(len(wanted))
    places[order] = np.clip(flat, low, max(low, high - gap * (len(wanted) - 1))) + steps
    return [round(place, 9) for place in places.tolist()]


def write_curve_names(axes: Axes, series: Sequence[Series]) -> None:
    """Write each curve's name and marker right of the axes, with a line from its last point."""
    height = size_in_inches(axes)[1] * 72
    shares = axes.transScale + axes.transLimits
    ends = shares.transform([(curve.points[-1].x, curve.points[-1].y) for curve in series])
    xs, ys = ends.T.tolist()
    start, places = max([1.0, *xs]), spread_labels(ys, 1.3 * NAME_SIZE / height, 0.0, 1.0)
    line, end = start + GAP, start + REACH
    aside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    words: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    words |= {"va": "center_baseline", "fontsize": NAME_SIZE}
    for curve, x, y, place in zip(series, xs, ys, places, strict=True):
        bend = [x, line - GAP / 2, end]
        axes.plot(bend, [y, y, place], color=RULE, lw=0.6, zorder=1, **aside)
        axes.plot([end + 0.015], [place], linestyle="", **aside, **marker_keywords(curve.style))
        axes.annotate(curve.name, (end + 0.015, place), (5, 0), **words)


def draw_quality_against_cost(
    parts: Mapping[str, Part],
    metric: str,
    cost: str,
    width: Width,
    draw: Callable[[Axes, Part], Sequence[Series]],
) -> Sheet:
    """Draw a panel for each of ``parts``, which are by title, and name its curves.

    ``draw`` draws a part, and returns the curves to name. Raises a ValueError without parts.
    """
    if not parts:
        raise ValueError(
            f"no finished row has {metric} and {cost} to draw; choose columns that have values"
        )
    figure, panels = sheet_with_panels(width, HEIGHT[width], len(parts))
    named = [draw(axes, part) for axes, part in zip(panels, parts.values(), strict=True)]
    for axes, title in zip(panels, parts, strict=True):
        axes.set(title=title, xlabel=axis_title_of(cost), ylabel=axis_title_of(metric))
    figure.draw_without_rendering()  # names are placed by the final layout
    for axes, series in zip(panels, named, strict=True):
        write_curve_names(axes, series)
    return figure
