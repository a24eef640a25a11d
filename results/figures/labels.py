"""Names next to their curves: apart from each other, in the order of the curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from .axes import inches
from .markers import markers
from .series import Series
from .sheet import RULE

GAP, REACH = 0.035, 0.09
"""Shares of the width of the axes: from the last point to its leader, and from there to the name."""


def spread_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to the wanted ones as keeps them ``gap`` apart, within [low, high] where all
    fit; their order stays.

    This is isotonic regression (pool adjacent violators) of ``wanted - gap * rank``, moved into the
    range as a whole.

    >>> spread_labels([0.5, 0.5, 0.9], 0.1, 0.0, 1.0)
    [0.45, 0.55, 0.9]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, int]] = []  # mean and size
    for rank, index in enumerate(order):
        blocks.append((wanted[index] - gap * rank, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [((a * m + b * n) / (m + n), m + n)]
    last = max(low, high - gap * (len(wanted) - 1))
    flat = [min(max(mean, low), last) for mean, size in blocks for _ in range(size)]
    places = dict(
        zip(order, (round(value + gap * rank, 9) for rank, value in enumerate(flat)), strict=True)
    )
    return [places[index] for index in range(len(wanted))]


def name_at_the_right(axes: Axes, series: Sequence[Series], size: float = 6.5) -> None:
    """Write each curve's name right of the axes with its marker and a line from its last point."""
    bottom, top = map(math.log, axes.get_ylim())
    left, right = map(math.log, axes.get_xlim())
    height = inches(axes)[1] * 72
    at = [(math.log(curve.points[-1].y) - bottom) / (top - bottom) for curve in series]
    start = max(
        ((math.log(curve.points[-1].x) - left) / (right - left) for curve in series), default=1.0
    )
    for curve, y, place in zip(
        series, at, spread_labels(at, 1.3 * size / height, 0.0, 1.0), strict=True
    ):
        x = (math.log(curve.points[-1].x) - left) / (right - left)
        line, end = max(start, 1.0) + GAP, max(start, 1.0) + REACH
        axes.plot(
            [x, line - GAP / 2, end],
            [y, y, place],
            color=RULE,
            lw=0.6,
            zorder=1,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.plot(
            [end + 0.015],
            [place],
            transform=axes.transAxes,
            clip_on=False,
            linestyle="",
            **markers(curve.style),
        )
        axes.annotate(
            curve.name,
            (end + 0.015, place),
            (5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center_baseline",
            fontsize=size,
        )
