"""PNDM and PLMS: iPNDM's weights after first steps with more evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..families.linear import LinearRow
from ..families.stages import Evaluate, LinearStages
from ..families.startup import StartRow, start_step
from ..grid import Grid
from ..loop import GridSampler
from ..registry import get, register
from ..types import Denoise, Source, StepNoise
from .heun import Heun

_URL = "https://arxiv.org/abs/2202.09778v2"
_MID = (
    "the middle of a start step is the mean of its sigmas, at which the classical "
    "weights are right, not that of its times"
)


@dataclass(frozen=True, kw_only=True)
class RungeKutta4(LinearStages):
    """The classical method on dx/dsigma = eps: the paper's pseudo Runge-Kutta step, whose
    transfer is linear in sigma.
    """

    name = "runge_kutta_4"
    order = 4
    source = Source("liu2022pndm", "eq. (13)", _URL, deviations=(_MID,))

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """eps_1 … eps_4 with weights 1, 2, 2, 1 over 6."""
        mid, step = (cur + nxt) / 2, nxt - cur
        eps1 = (x - denoise(x, cur)) / cur
        x2 = x + step / 2 * eps1
        eps2 = (x2 - denoise(x2, mid)) / mid
        x3 = x + step / 2 * eps2
        eps3 = (x3 - denoise(x3, mid)) / mid
        x4 = x + step * eps3
        eps4 = (x4 - denoise(x4, nxt)) / nxt
        return x + step / 6 * (eps1 + 2 * eps2 + 2 * eps3 + eps4)


@dataclass(frozen=True, kw_only=True)
class PseudoNumerical(GridSampler):
    """Start steps of a single-step method.

    Then x <- x + (nxt - cur) sum_j w_j eps_{i-j} as in iPNDM; the step to 0 is x <- d.

    A start step is remembered by eps at its beginning. The weights belong to equal steps in sigma:
    see :class:`~.ipndm.IPNDM` for the order on other grids.
    """

    order = 2
    history = 3
    ramp: ClassVar[tuple[int, ...]]
    starter: ClassVar[LinearStages]

    def profile(self, grid: Grid) -> list[int]:
        """Memos that each step uses; the starter's order in a start step."""
        orders = [
            self.starter.order if k == 0 else k for k in [*self.ramp, *[4] * len(grid)][: len(grid)]
        ]
        return (
            [int(k or 0) for k in (*orders[:-1], 1)]
            if grid.to_zero
            else [int(k or 0) for k in orders]
        )

    def plan(self, grid: Grid) -> list[StartRow | LinearRow]:
        """Rows of the starter where the ramp is 0, of iPNDM elsewhere."""
        ramp = [*self.ramp, *[4] * len(grid)]
        steady = get("ipndm")(first=tuple(max(k, 1) for k in ramp)).plan(grid)
        starts = (k == 0 and nxt > 0 for k, (_, nxt) in zip(ramp, grid.intervals(), strict=False))
        return [
            StartRow(self.starter.row(*interval), p=1.0, q=-1.0) if start else row
            for start, row, interval in zip(starts, steady, grid.intervals(), strict=True)
        ]

    def nfe(self, grid: Grid) -> int:
        """The stages of the start steps, and one a step from there on."""
        return sum(
            len(row.stages.stages) if isinstance(row, StartRow) else 1 for row in self.plan(grid)
        )

    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """A start step, or one of iPNDM."""
        return (
            start_step(x, row, denoise)
            if isinstance(row, StartRow)
            else get("ipndm")().step(x, row, past, denoise, noise)
        )


@register
@dataclass(frozen=True, kw_only=True)
class PNDM(PseudoNumerical):
    """Three Runge-Kutta steps of four evaluations, then four points: N steps cost N + 9."""

    name = "pndm"
    ramp = (0, 0, 0)
    starter = RungeKutta4()
    source = Source("liu2022pndm", "Alg. 2, F-PNDM", _URL, deviations=(_MID,))


@register
@dataclass(frozen=True, kw_only=True)
class PLMS(PseudoNumerical):
    """Pseudo linear multistep: an improved Euler step, then 2, 3 and 4 points: N + 1 evaluations."""

    name = "plms"
    ramp = (0, 2, 3)
    starter = Heun()
    source = Source(
        "liu2022pndm", "eq. (12) with the start of Stable Diffusion's PLMSSampler", _URL
    )
