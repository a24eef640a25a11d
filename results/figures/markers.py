"""The palette's symbols and dashes as matplotlib's."""

from __future__ import annotations

from typing import Any

from ..palette import Style

MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "x": "X",
    "star": "*",
    "pentagon": "p",
    "cross": "P",
    "hexagon": "h",
    "triangle-down": "v",
}
LINES: dict[str, Any] = {
    "solid": "-",
    "dot": (0, (1, 1.4)),
    "dash": (0, (4, 1.6)),
    "dashdot": (0, (4, 1.4, 1, 1.4)),
    "longdash": (0, (7, 2)),
    "longdashdot": (0, (7, 1.6, 1, 1.6)),
}


THICK = 2.0
"""Points: the line of a sampler of the reader's own, which nothing may hide."""
ABOVE = 1.5
"""Increase of its ``zorder`` over the others'."""


def markers(style: Style) -> dict[str, Any]:
    """Keywords of ``Axes.plot`` for the points of a curve."""
    is_open = style.symbol.endswith("-open")
    symbol = MARKERS[style.symbol.removesuffix("-open")]
    face = "white" if is_open else style.colour
    return {
        "marker": symbol,
        "markersize": (5 if symbol in "*" else 3.6) * (1.5 if style.own else 1),
        "markerfacecolor": face,
        "markeredgecolor": style.colour if is_open else "white",
        "markeredgewidth": 0.7 if is_open else 0.35,
    }


def line(style: Style) -> dict[str, Any]:
    """Keywords of ``Axes.plot`` for the line of a curve."""
    return {"color": style.colour, "linestyle": LINES[style.dash]} | (
        {"linewidth": THICK} if style.own else {}
    )


def lift(style: Style) -> float:
    """Return the increase of a curve's ``zorder``: the reader's own lie above the others."""
    return ABOVE if style.own else 0.0
