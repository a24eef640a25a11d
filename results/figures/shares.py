"""Drawing of distributions as steps: the share of targets below each number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter
from numpy.typing import NDArray

from ..palette import Style
from ..text import format_number
from .axes import HEIGHT, spaced_ticks, write_curve_names
from .series import Point, Series, curve_label, line_keywords, zorder_increase
from .typography import Sheet, Width, sheet_with_panels
from .work_precision import NAMED

BEYOND = 1.12
"""Ratio of the axis's end to the largest number, so that the last step is seen."""


def draw_shares(
    numbers: Mapping[str, NDArray[np.float64]],
    styles: Mapping[str, Style],
    titles: tuple[str, str],
    width: Width,
) -> Sheet:
    """Draw the distribution of each curve's ``numbers`` (costs or ratios) on a logarithmic axis.

    The number is inf for a target that is never reached. ``titles`` are for the figure and the
    axis. Of many curves, only curves of plugins and the best are named.
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
