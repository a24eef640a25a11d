"""DPM-Solver++: exponential integrators for the data prediction, in lam = -log(sigma)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..base import LinearMultistep, LinearRow
from ..grid import Grid
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2M(LinearMultistep):
    """Second-order multistep, midpoint weights: x <- r x + (1 - r) [(1 + w) d_i - w d_{i-1}], r = nxt / cur, w = h / (2 h_prev)."""

    name = "dpmpp_2m"
    order = 2
    history = 1
    source = Source("lu2022dpmpp", "Alg. 2", "https://arxiv.org/abs/2211.01095v2")

    def plan(self, grid: Grid) -> list[LinearRow]:
        """The first step, and the step to 0 (where h is infinite), are first order."""
        rows, h_prev = [], math.inf
        for cur, nxt in grid.intervals():
            r = nxt / cur
            h = math.log(cur / nxt) if nxt > 0 else 0.0
            w = h / (2 * h_prev)
            rows.append(LinearRow(cur, a=r, b=((1 - r) * (1 + w), -(1 - r) * w) if w else (1 - r,)))
            h_prev = h
        return rows
