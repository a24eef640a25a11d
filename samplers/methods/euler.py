"""Euler's method on the probability-flow ODE in sigma."""

from __future__ import annotations

from dataclasses import dataclass

from ..base import LinearMultistep, LinearRow
from ..grid import Grid
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class Euler(LinearMultistep):
    """Follow the slope at the start of the step: x <- x + (nxt - cur) (x - d) / cur = r x + (1 - r) d, with r = nxt / cur.

    It is DDIM with eta = 0 and DPM-Solver-1, in these coordinates.
    """

    name = "euler"
    order = 1
    source = Source("karras2022edm", "Alg. 1 without lines 6-8", "https://arxiv.org/abs/2206.00364v2")

    def plan(self, grid: Grid) -> list[LinearRow]:
        """Weights r of the state and 1 - r of the denoised image."""
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]
