"""DPM-Solver++, single step: exponential Runge-Kutta methods for the data prediction.

:class:`SinglestepOnGrid` places its stages on levels of the grid, as diffusers' scheduler does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..base import check_choice
from ..families.exponential import data_moments, noise_moments
from ..families.linear import LinearMultistep, LinearRow, jump
from ..families.noisy_stages import AncestralStages
from ..families.stages import ExponentialRungeKutta, Tableau
from ..grid import Grid
from ..numerics import monomial_weights, phi
from ..registry import register, register_unlisted
from ..types import Source

_paper = partial(Source, "lu2022dpmpp", url="https://arxiv.org/abs/2211.01095v2")


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2S(ExponentialRungeKutta):
    """DPM-Solver++(2S): x <- r x + (1 - r) [(1 - 1 / (2 r1)) d + d_s / (2 r1)], r = nxt / cur.

    d_s is evaluated after a first-order step to the fraction r1 of the step in lam.

    Attributes:
        r1: fraction of the step at the second evaluation, in (0, 1); at 1/2 its level is sqrt(cur
            nxt) and only d_s counts.
    """

    name = "dpmpp_2s"
    order = 2
    source = _paper("Alg. 1")
    r1: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 1:
            raise ValueError(f"dpmpp_2s: r1 must be in (0, 1), got {self.r1}")

    def tableau(self, h: float) -> Tableau:
        return Tableau((self.r1,), ((),), (phi(1, -h) / (2 * self.r1),))


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp3S(ExponentialRungeKutta):
    """DPM-Solver++(3S): evaluations at the fractions 0, r1 and r2 = 2/3 of the step in lam.

    With D_k = d_k - d, r = nxt / cur and q = r^r2, the third evaluation is at
    u2 = q x + (1 - q) d + (r2 / r1) r2 h phi_2(-r2 h) D_1;
    x <- r x + (1 - r) d + (h / r2) phi_2(-h) D_2.

    Attributes:
        r1: fraction of the step at the second evaluation, in (0, 2/3). The third is at 2/3, the
            only value that gives third order.
    """

    name = "dpmpp_3s"
    order = 3
    source = _paper(
        "authors' code, singlestep_dpm_solver_third_update, algorithm_type dpmsolver++",
        deviations=(
            "r2 is fixed at 2/3, the only place at which the published weights "
            "are of third order on every grid",
        ),
    )
    r1: float = 1 / 3

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 2 / 3:
            raise ValueError(f"dpmpp_3s: r1 must be in (0, 2/3), got {self.r1}")

    def tableau(self, h: float) -> Tableau:
        r1, r2 = self.r1, 2 / 3
        return Tableau((r1, r2), ((), (r2 / r1 * r2 * phi(2, -r2 * h),)), (0.0, phi(2, -h) / r2))


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2SAncestral(AncestralStages):
    """Ancestral DPM-Solver++(2S): a step to ``down``, then noise: see :class:`.AncestralStages`."""

    name = "dpmpp_2s_ancestral"
    source = _paper(
        "Alg. 1; k-diffusion, sample_dpmpp_2s_ancestral",
        deviations=(
            "the paper has this method for the ODE only; the ancestral form is k-diffusion's",
        ),
    )
    solver = DPMpp2S()


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class SinglestepOnGrid(LinearMultistep):
    """Single-step DPM-Solver or DPM-Solver++ that evaluates at the grid's levels only.

    A solver step of order k spans k intervals of the grid, with an evaluation at the start of each.
    The state after its j-th interval is that of a step of order j from the same start. Such a step
    integrates the polynomial in lam through the j evaluations. ``solver_type`` "midpoint" has two
    exceptions. Order 2 has the weights of DPM-Solver++(2S). Order 3 integrates the line through the
    first and the third evaluation.

    The sampler reproduces schedulers of checkpoints (``pipeline``). For other uses, take
    ``dpmpp_2s`` or ``dpmpp_3s``, whose stages are at the best levels.

    Attributes:
        orders: number j of each interval within its solver step, 1 to 3. (1, 2, 1) is a solver step
            of order 2, then one of order 1. Intervals after the last entry have j = 1. The step to
            sigma = 0 must have j = 1, or :meth:`plan` raises a ValueError.
        prediction: quantity taken as a polynomial, the denoised image ("data") or eps ("noise").
        solver_type: "midpoint" or "heun", the polynomial without exceptions.
    """

    name = "singlestep_on_grid"
    history = 2
    source = _paper(
        "diffusers, DPMSolverSinglestepScheduler",
        deviations=("declared of no order: it is that of the groups, where all are of one length",),
    )
    orders: tuple[int, ...] = ()
    prediction: Literal["data", "noise"] = "data"
    solver_type: Literal["midpoint", "heun"] = "midpoint"

    def __post_init__(self) -> None:
        check_choice(self, "prediction", "data", "noise")
        check_choice(self, "solver_type", "midpoint", "heun")
        before = (0, *self.orders)
        if any(
            k != 1 and (k != last + 1 or k > 3)
            for k, last in zip(self.orders, before, strict=False)
        ):
            raise ValueError(
                f"{self.name}: orders must rise from 1 by one, up to 3, got {self.orders}"
            )

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows: list[LinearRow] = []
        # weights of the group's first state and history entries p x + q d in the present state
        present: tuple[float, list[float]] = (1.0, [])
        for i, (cur, nxt) in enumerate(grid.intervals()):
            order = self.orders[i] if i < len(self.orders) else 1
            levels = grid.sigma[i - order + 1 : i + 1]
            if nxt == 0 and order > 1:
                raise ValueError(
                    f"{self.name}: the step to sigma = 0 is of order 1; give orders that end before step {i + 1}"
                )
            if nxt == 0:
                rows.append(jump(cur))
                continue
            a, weights = self._from_first(levels, nxt)
            gain, before = present if order > 1 else (1.0, [])
            b = [w - a / gain * w0 for w, w0 in zip(weights, [*before, 0.0], strict=True)]
            p, q = (0.0, 1.0) if self.prediction == "data" else (1.0, -1.0)
            rows.append(LinearRow(cur, a / gain, tuple(reversed(b)), p=p, q=q))
            present = (a, weights)
        return rows

    def _from_first(self, levels: Sequence[float], nxt: float) -> tuple[float, list[float]]:
        """Return (a, b): the state at ``nxt`` is a y + sum_j b_j m_j, with y at ``levels[0]``."""
        first, data = levels[0], self.prediction == "data"
        moments = (data_moments if data else noise_moments)(first, nxt, len(levels))
        lam = [math.log(first / level) for level in levels]
        if self.solver_type == "heun" or len(levels) == 1:
            weights = monomial_weights(lam, moments)
        elif len(levels) == 2:
            half = moments[0] / 2 * math.log(first / nxt) / lam[1]
            weights = [moments[0] - half, half]
        else:
            ends = monomial_weights([lam[0], lam[2]], moments[:2])
            weights = [ends[0], 0.0, ends[1]]
        if data:
            return nxt / first, weights
        return 1.0, [w / level for w, level in zip(weights, levels, strict=True)]
