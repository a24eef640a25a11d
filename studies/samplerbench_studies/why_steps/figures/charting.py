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
"""Ticks beside each other."""


def step_axis(
    axes: Axes,
    counts: Sequence[float],
    what: str = "steps (network evaluations a sample)",
    room: float = 1.0,
) -> None:
    """A logarithmic horizontal axis; ``room`` > 1 leaves space for names at the right.

    Its ticks are the numbers themselves; where they are too many to be read, the powers of ten
    among them, or every other one.
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
    """A line with the band of its intervals and its name at the right end, ``nudge`` points
    higher; the name.
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
    """A name right of a point."""
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
    """Move names that stand beside their points up or down, until they are ``gap`` points apart and
    none lies on another.

    Call it when scale and limits of the axes are set.
    """
    axes.get_ylim()  # brings the limits up to date
    scale = POINTS / axes.figure.dpi
    heights = [float(axes.transData.transform(name.xy)[1]) * scale for name in names]
    wanted = [height + name.xyann[1] for name, height in zip(names, heights, strict=True)]
    places = spread_labels(wanted, gap, axes.bbox.y0 * scale, axes.bbox.y1 * scale)
    for name, height, place in zip(names, heights, places, strict=True):
        name.xyann = (name.xyann[0], place - height)


def level(axes: Axes, y: float, name: str, place: float = 0.01) -> None:
    """A dashed line across the curves, with its meaning above it.

    ``place`` is where the words begin, as a share of the width.
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
    """A dashed line from the left to the end of the curves, so that it strikes through no name.

    Call it when scale and limits of the axes are set.
    """
    to_share = axes.transData + axes.transAxes.inverted()
    drawn = [x for line in axes.lines for x in np.asarray(line.get_xdata(), float).tolist()]
    ends = [to_share.transform((x, y))[0] for x in drawn]
    end = max((end for end in ends if end <= 1), default=1.0)
    axes.axhline(y, xmax=end, color=colour, lw=0.9, ls=(0, (5, 3)), zorder=1)
