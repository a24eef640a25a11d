"""Picture of a board: shares of targets reached against evaluations, as items of an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..figures.axes import spread_labels
from .scoring import FEWEST, MOST, Score

WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 440, 280, 44, 268, 10, 240
"""Size of the picture, and the edges of its axes; names of curves stand right of these."""
TICKS = (4, 6, 10, 20, 40, 100)
GAP = 16
"""Smallest distance of two names."""
HEAD, TAIL = 12, 6
"""Letters that a long name keeps at its beginning and its end."""


class Line(NamedTuple):
    """Curve of a solver: its name, its CSS class, and the address of its page ("" for none)."""

    name: str
    kind: str
    score: Score
    href: str = ""

    @property
    def short(self) -> str:
        """Name with an ellipsis in place of its middle if it has too many letters."""
        name = self.name
        return name if len(name) <= HEAD + TAIL + 1 else f"{name[:HEAD]}…{name[-TAIL:]}"


def svg_items(lines: Sequence[Line], highest: float) -> dict[str, Any]:
    """Return items of an SVG: places of ticks ``across`` and ``up``, and a tuple for each line.

    A tuple has the line, its SVG path, the path from its end to its name, and the name's height.
    The axis ends at the first multiple of 25 % that is at least ``highest``.
    """
    quarters = max(1, math.ceil(4 * highest))

    def up(share: float) -> float:
        return TOP + (1 - 4 * share / quarters) * (BOTTOM - TOP)

    def path_of(score: Score) -> str:
        numbers = {n for n in score.evaluations.ravel().tolist() if FEWEST < n <= MOST}
        steps = (f"H{_place_across(n)}V{up(score.reached_share(n)):.1f}" for n in sorted(numbers))
        return f"M{LEFT} {up(score.reached_share(FEWEST)):.1f}{''.join(steps)}H{RIGHT}"

    ends = [up(line.score.reached_share()) for line in lines]
    return {
        "across": {tick: _place_across(tick) for tick in TICKS},
        "up": {f"{25 * n} %": f"{up(n / 4):.1f}" for n in range(quarters + 1)},
        "lines": [
            (
                line,
                path_of(line.score),
                f"M{RIGHT} {end:.1f}h5l10 {place - end:.1f}h3",
                f"{place:.1f}",
            )
            for line, end, place in zip(
                lines, ends, spread_labels(ends, GAP, TOP + 4, BOTTOM), strict=True
            )
        ],
    }


def _place_across(evaluations: float) -> str:
    share = math.log(evaluations / FEWEST) / math.log(MOST / FEWEST)
    return f"{LEFT + share * (RIGHT - LEFT):.1f}"
