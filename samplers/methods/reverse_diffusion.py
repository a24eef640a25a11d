"""The reverse diffusion sampler: the reverse-time SDE discretised as the noising process is."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.linear import LinearMultistep, LinearRow, jump
from ..grid import Grid
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class ReverseDiffusion(LinearMultistep):
    """x <- x + (cur² - nxt²) s + sqrt(cur² - nxt²) z with the score s = (d - x) / cur², that is x
    <- r² x + (1 - r²) d + … , r = nxt / cur.

    It is Euler-Maruyama with the variance as its time. The step to 0 is x <- d, without noise.
    """

    name = "reverse_diffusion"
    order = 1
    stochastic = True
    strong_order = 1.0
    source = Source(
        "song2021sde",
        "eq. (46) and Alg. 2, predictor",
        "https://arxiv.org/abs/2011.13456v2",
        deviations=(
            "in the variance-exploding form whatever the process is",
            "the last step to 0 adds no noise",
        ),
    )

    def plan(self, grid: Grid) -> list[LinearRow]:
        """Return the rows of the class's formula, and the jump to 0."""
        return [
            reverse_diffusion_row(cur, nxt) if nxt > 0 else jump(cur)
            for cur, nxt in grid.intervals()
        ]


def reverse_diffusion_row(cur: float, nxt: float) -> LinearRow:
    """The step from ``cur`` to ``nxt`` > 0."""
    keep = (nxt / cur) ** 2
    return LinearRow(cur, a=keep, b=(1 - keep,), c=(cur**2 - nxt**2) ** 0.5)
