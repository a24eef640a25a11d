"""What charts of the rows have in common: axes of steps, names beside curves, bands of intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .drawing import INK, SOFT
from .intervals import Interval

MOST = 6
"""Ticks beside each other."""


def step_axis(axes: Axes, counts: Sequence[float], what: str = "steps (network evaluations a sample)", room: float = 1.0) -> None:
    """A logarithmic horizontal axis; ``room`` > 1 leaves space for names at the right.

    Its ticks are the numbers themselves, or powers of ten among them where they are too many to be read.
    """
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / 1.15, counts[-1] * 1.15 * room)
    axes.xaxis.set_major_locator(
        FixedLocator(list(counts) if len(counts) <= MOST else [count for count in counts if str(count).strip("0") == "1"])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(what)


def curve(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[Interval],
    colour: str,
    name: str,
    marker: str = "o",
    nudge: float = 0.0,
    style: str = "-",
) -> None:
    """A line with the band of its intervals and its name at the right end, ``nudge`` points higher."""
    y = [one.value for one in values]
    axes.plot(x, y, color=colour, marker=marker, ls=style)
    axes.fill_between(x, [one.low for one in values], [one.high for one in values], color=colour, alpha=0.18, lw=0)
    beside(axes, x[-1], y[-1], name, colour, nudge)


def beside(axes: Axes, x: float, y: float, name: str, colour: str = INK, nudge: float = 0.0) -> None:
    """A name right of a point."""
    axes.annotate(name, (x, y), (6, nudge), textcoords="offset points", color=colour, va="center", fontsize=8.5)


def level(axes: Axes, y: float, name: str, place: float = 0.01) -> None:
    """A dashed line across, with its meaning above it; ``place`` is where the words begin, as a share of the width."""
    axes.axhline(y, color=SOFT, lw=0.9, ls=(0, (5, 3)), zorder=1)
    axes.annotate(name, (place, y), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points", color=SOFT, fontsize=8)
