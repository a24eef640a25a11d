"""Chart elements that rows share: axes of steps, names beside curves, bands of intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from samplerbench.results.figures import spread_labels

from ..statistics.intervals import Interval
from .drawing import INK, SOFT
from .narrow import POINTS

FEWEST, MOST = 3, 6
"""Bounds of the number of ticks on an axis."""


def step_axis(
    axes: Axes,
    counts: Sequence[float],
    what: str = "steps (network evaluations a sample)",
    room: float = 1.0,
) -> None:
    """Make a logarithmic horizontal axis; ``room`` > 1 leaves space for names at the right.

    The ticks are ``counts``. If these are too many, they are the powers of ten among them, or every
    other one.
    """
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / 1.15, counts[-1] * 1.15 * room)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(what)


def _ticks(counts: Sequence[float]) -> list[float]:
    if len(counts) <= MOST:
        return list(counts)
    tens = [count for count in counts if str(count).strip("0") == "1"]
    return tens if len(tens) >= FEWEST else list(counts[::2])


def curve(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[Interval],
    colour: str,
    name: str,
    marker: str = "o",
    nudge: float = 0.0,
    style: str = "-",
) -> Annotation:
    """Draw a line with the band of its intervals and a name at the right end; return the name.

    The name is ``nudge`` points higher than the end.
    """
    y = [one.value for one in values]
    axes.plot(x, y, color=colour, marker=marker, ls=style)
    axes.fill_between(
        x, [one.low for one in values], [one.high for one in values], color=colour, alpha=0.18, lw=0
    )
    return label_curve(axes, x[-1], y[-1], name, colour, nudge)


def label_curve(
    axes: Axes, x: float, y: float, name: str, colour: str = INK, nudge: float = 0.0
) -> Annotation:
    """Write a name right of a point, and return it."""
    return axes.annotate(
        name,
        (x, y),
        (6, nudge),
        textcoords="offset points",
        color=colour,
        va="center",
        fontsize=8.5,
    )


def separate_labels(axes: Axes, names: Sequence[Annotation], gap: float = 11) -> None:
    """Move names up or down until they are ``gap`` points apart.

    Call it after setting scale and limits of the axes.
    """
    axes.get_ylim()  # brings the limits up to date
    scale = POINTS / axes.figure.dpi
    heights = [float(axes.transData.transform(name.xy)[1]) * scale for name in names]
    wanted = [height + name.xyann[1] for name, height in zip(names, heights, strict=True)]
    places = spread_labels(wanted, gap, axes.bbox.y0 * scale, axes.bbox.y1 * scale)
    for name, height, place in zip(names, heights, places, strict=True):
        name.xyann = (name.xyann[0], place - height)


def level(axes: Axes, y: float, name: str, place: float = 0.01) -> None:
    """Draw a dashed line across the curves, with its meaning above it.

    ``place`` is the start of the text as a share of the width.
    """
    dashed(axes, y)
    axes.annotate(
        name,
        (place, y),
        (0, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=SOFT,
        fontsize=8,
    )


def dashed(axes: Axes, y: float, colour: str = SOFT) -> None:
    """Draw a dashed line from the left to the end of the curves, so that it crosses no name.

    Call it after setting scale and limits of the axes.
    """
    to_share = axes.transData + axes.transAxes.inverted()
    drawn = [x for line in axes.lines for x in np.asarray(line.get_xdata(), float).tolist()]
    ends = [to_share.transform((x, y))[0] for x in drawn]
    end = max((end for end in ends if end <= 1), default=1.0)
    axes.axhline(y, xmax=end, color=colour, lw=0.9, ls=(0, (5, 3)), zorder=1)
