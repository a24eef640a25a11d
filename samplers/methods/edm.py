"""Samplers of EDM: Euler's and Heun's method in sigma, deterministic and with churn; Heun++."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from ..families.linear import LinearMultistep, LinearRow
from ..families.stages import Churned, Evaluate, LinearStages, StagesRow
from ..grid import Grid
from ..registry import register
from ..types import Source

_paper = partial(Source, "karras2022edm", url="https://arxiv.org/abs/2206.00364v2")


@register
@dataclass(frozen=True, kw_only=True)
class Euler(LinearMultistep):
    """Euler's method in sigma: x <- x + (nxt - cur) (x - d) / cur.

    With r = nxt / cur this is r x + (1 - r) d. Also: DDIM with eta = 0, DPM-Solver-1.
    """

    name = "euler"
    order = 1
    source = _paper("Alg. 1 without lines 6-8")

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]


@register
@dataclass(frozen=True, kw_only=True)
class EulerChurn(Churned):
    """Churn, then an Euler step: see :class:`.Churned`.

    A step takes one evaluation. EDM's churn of 40 is too much for Euler's method. With it, 128
    karras steps from 80 lose 16 % of the variance of a Gaussian, N(0, 1); without churn, 4 %.
    """

    name = "euler_churn"
    solver_order = 1
    source = _paper(
        "Alg. 2 without lines 9-11",
        deviations=("an Euler step in place of Heun's, with less churn by default",),
    )
    churn: float = 5.0
    s_noise: float = 1.0

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        return x + (nxt - cur) * (x - denoise(x, cur)) / cur


@register
@dataclass(frozen=True, kw_only=True)
class Heun(LinearStages):
    """Heun's method in sigma: a step along the average of the slopes (x - d) / sigma at both ends.

    The second slope is taken after an Euler step. A step takes two evaluations, the step to 0 one.
    """

    name = "heun"
    order = 2
    source = _paper("Alg. 1")

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        slope = (x - denoise(x, cur)) / cur
        x_pred = x + (nxt - cur) * slope
        slope_next = (x_pred - denoise(x_pred, nxt)) / nxt
        return x + (nxt - cur) * (slope + slope_next) / 2


@register
@dataclass(frozen=True, kw_only=True)
class HeunPP2(LinearStages):
    """Heun++: a step along a mean of slopes, at cur and after Euler steps to the next two levels.

    With k evaluations, a later slope at level s has the weight s / (k sigma_0), with sigma_0 the
    grid's first level. The slope at cur has the remaining weight. So the order is only 1, at three
    evaluations a step. The last step is Euler's, and the step before has two evaluations.
    """

    name = "heunpp2"
    order = 1
    source = Source(
        "carzit2023heunpp",
        "sample_heunpp2; as in ComfyUI",
        "https://github.com/Carzit/sd-webui-samplers-scheduler",
        deviations=("without churn, which is off there by default",),
    )

    def plan(self, grid: Grid) -> list[StagesRow]:
        sigma, n = grid.sigma, len(grid)
        return [
            self.row(cur, nxt, levels=sigma[i : min(i + 3, n)], first=sigma[0])
            for i, (cur, nxt) in enumerate(grid.intervals())
        ]

    def update(
        self,
        x: Any,
        denoise: Evaluate,
        cur: float,
        nxt: float,
        *,
        levels: tuple[float, ...] = (),
        first: float = 1.0,
    ) -> Any:
        """Return the state at ``nxt`` by slopes at ``levels``; ``first`` is the class's sigma_0."""
        y, slope = x, (x - denoise(x, cur)) / cur
        start = mean = slope
        for level, to in pairwise(levels):
            y = y + (to - level) * slope
            slope = (y - denoise(y, to)) / to
            mean = mean + to / (len(levels) * first) * (slope - start)
        return x + (nxt - cur) * mean


@register
@dataclass(frozen=True, kw_only=True)
class EDMStochastic(Churned):
    """Churn, then a Heun step: see :class:`.Churned`."""

    name = "edm_stochastic"
    solver_order = 2
    source = _paper("Alg. 2, Table 5")

    update = Heun.update
