"""Sampling with few-step maps, such as consistency models, which jump to the end of the path."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ..base import FOUND
from ..families.linear import LinearMultistep, LinearRow
from ..grid import Grid
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class Consistency(LinearMultistep):
    """Multistep consistency sampling with a few-step map f: x <- f(x, cur) + sqrt(nxt² - end²) z.

    The map takes a state along the probability flow down to the level ``end``. The first jump gives
    a sample of the data, noise takes it back up to the next level, and the next jump corrects the
    first. With an exact map every step leaves exact samples, on any levels. The method is not for a
    denoiser: noise added to E[x0 | x] has another distribution than the noisy data.

    The last jump has no noise and gives the sample. On two steps or more it is the step to the
    grid's lowest positive level, the model's sigma_min. A step from there to 0 keeps the state. N
    steps to 0 take N - 1 evaluations (one step takes one), and N steps to sigma_min take N.

    Attributes:
        end: level at which the map ends, 0 or sigma_min; None for the lowest positive level of the
            grid. The harness sets it for the model; users do not.
    """

    end: float | None = field(default=None, metadata=FOUND)

    name = "consistency"
    stochastic = True
    for_maps: ClassVar[bool] = True
    source = Source(
        "song2023consistency",
        "Alg. 1",
        "https://arxiv.org/abs/2303.01469v2",
        deviations=("the levels are those of the grid; the paper searches them for each model",),
    )

    def with_end(self, end: float | None) -> Consistency:
        """Return this sampler with ``end`` set: the level at which the map ends."""
        return replace(self, end=end)

    def plan(self, grid: Grid) -> list[LinearRow]:
        low = grid.positive[-1]
        end = low if self.end is None else self.end
        return [
            LinearRow(
                cur,
                a=0.0,
                b=(1.0,),
                c=math.sqrt(nxt**2 - end**2) if nxt > low else 0.0,
                gain=1.0 if i and cur == low else None,
            )
            for i, (cur, nxt) in enumerate(grid.intervals())
        ]

    def nfe(self, grid: Grid) -> int:
        return sum(row.gain is None for row in self.plan(grid))
