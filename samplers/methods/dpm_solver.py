"""DPM-Solver, single step: exponential Runge-Kutta methods for eps, in lam = -log(sigma).

With k-diffusion's DPM2, DPM-Solver-fast, and the adaptive pairs 12 and 23.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, zip_longest
from typing import Any

import torch
from torch import Tensor

from ..families.adaptive import AdaptiveSampler, Attempt, Tolerant
from ..families.flow_time import row_in_sigma, time_of
from ..families.linear import LinearMultistep, LinearRow, eps_row, jump
from ..families.noisy_stages import AncestralStages
from ..families.stages import Churned, Evaluate, LinearStages, StagesRow
from ..grid import Grid
from ..numerics import as_column, level_tensor, phi
from ..registry import register
from ..types import Denoise, Source
from .edm import Euler

_paper = partial(Source, "lu2022dpmsolver", url="https://arxiv.org/abs/2206.00927v3")


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver1(Euler):
    """DPM-Solver-1: constant eps over the step, which is Euler's method in sigma."""

    name = "dpm_solver_1"
    same_as = "euler"
    source = _paper("eq. (3.7)")


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver2(LinearStages):
    """DPM-Solver-2: x <- x + (nxt - cur) [eps + (eps_s - eps) / (2 r1)].

    eps = (x - d) / sigma. eps_s follows an Euler step to s, at the fraction r1 of the step in lam.

    Attributes:
        r1: fraction of the step at the second evaluation, in (0, 1); at 1/2 its level is sqrt(cur
            nxt) and only eps_s counts.
    """

    name = "dpm_solver_2"
    order = 2
    source = _paper("Alg. 1 (r1 = 1/2) and Alg. 4 (general r1)")
    r1: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 1:
            raise ValueError(f"dpm_solver_2: r1 must be in (0, 1), got {self.r1}")

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        mid = cur ** (1 - self.r1) * nxt**self.r1
        eps = (x - denoise(x, cur)) / cur
        x_mid = x + (mid - cur) * eps
        eps_mid = (x_mid - denoise(x_mid, mid)) / mid
        return x + (nxt - cur) * (eps + (eps_mid - eps) / (2 * self.r1))


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver3(LinearStages):
    """DPM-Solver-3: three evaluations at the fractions 0, r1, r2 of the step in lam.

    With h the step in lam, eps_1 and eps_2 are evaluated at u1 and u2, with D_k = eps_k - eps and
    sigma_k (e^{r_k h} - 1) = cur - sigma_k:
    u1 = x - sigma_1 (e^{r1 h} - 1) eps;
    u2 = x - sigma_2 (e^{r2 h} - 1) eps - sigma_2 (r2 / r1) r2 h phi_2(r2 h) D_1;
    x <- x - nxt (e^h - 1) eps - (nxt / r2) h phi_2(h) D_2.

    Attributes:
        r1: fraction of the step at the second evaluation, in (0, 2/3). The third is at r2 = 2/3,
            the only value that gives third order.
    """

    name = "dpm_solver_3"
    order = 3
    source = _paper("Alg. 2 and Alg. 5")
    r1: float = 1 / 3

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 2 / 3:
            raise ValueError(f"dpm_solver_3: r1 must be in (0, 2/3), got {self.r1}")

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        h, r1, r2 = math.log(cur / nxt), self.r1, 2 / 3
        s1, s2 = cur * math.exp(-r1 * h), cur * math.exp(-r2 * h)
        eps = (x - denoise(x, cur)) / cur
        u1 = x + (s1 - cur) * eps
        diff1 = (u1 - denoise(u1, s1)) / s1 - eps
        u2 = x + (s2 - cur) * eps - s2 * (r2 / r1) * r2 * h * phi(2, r2 * h) * diff1
        diff2 = (u2 - denoise(u2, s2)) / s2 - eps
        return x + (nxt - cur) * eps - (nxt / r2) * h * phi(2, h) * diff2


@register
@dataclass(frozen=True, kw_only=True)
class DPM2(Churned):
    """DPM-Solver-2 with r1 = 1/2, a midpoint step: x <- x + (nxt - cur) eps_mid.

    eps_mid follows an Euler step to sqrt(cur nxt). Churn is off by default: :class:`.Churned`.
    """

    name = "dpm_2"
    same_as = "dpm_solver_2"
    solver_order = 2
    source = _paper("Alg. 1; k-diffusion, sample_dpm_2")
    churn: float = 0.0
    s_noise: float = 1.0

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        return DPMSolver2().update(x, denoise, cur, nxt)


@register
@dataclass(frozen=True, kw_only=True)
class DPM2Ancestral(AncestralStages):
    """Ancestral DPM2: a DPM2 step from cur to ``down``, then noise: see :class:`.AncestralStages`.

    With ``flow``, the DPM2 step is also made in the time of a flow (``flow_time``).
    """

    name = "dpm_2_ancestral"
    source = _paper(
        "Alg. 1; k-diffusion, sample_dpm_2_ancestral",
        deviations=(
            "the paper has this method for the ODE only; the ancestral form is k-diffusion's",
            "where eta > 1 leaves nothing of the step, down = 0, the noise is added all the same",
        ),
    )
    solver = DPM2()

    def deterministic_row(self, cur: float, down: float) -> StagesRow:
        if not self.flow:
            return self.solver.row(cur, down)
        return row_in_sigma(self.solver.row(time_of(cur), time_of(down)), cur, down)


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolverFast(LinearMultistep):
    """Steps of DPM-Solver-3 over three intervals each, with their stages at the levels between.

    Let M be the number of intervals between positive levels. All steps have order 3, except at the
    end: there are steps of orders 2 and 1 if 3 divides M, else a step of order M mod 3. The state
    after an interval inside a step is a stage, of lower order. Each interval takes one evaluation,
    where it begins, so the whole is a multistep method in eps. Let E_k be the change from the
    step's start to its k-th stage, and E_0 = 0. Then an interval makes x <- x + E_{k+1} - E_k.
    """

    name = "dpm_solver_fast"
    order = 2
    history = 2
    source = _paper(
        "section 3.3 and appendix D.3; authors' code, method='singlestep', order 3",
        deviations=(
            "stages are at the grid's own levels, as in the authors' code for uniform "
            "and quadratic time; for uniform lam that code gives "
            "every step the same length, whatever its order",
            "declared at its measured order, 2, which the first-order step at the end allows",
        ),
    )

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows, start = [], 0
        for order in self.solver_orders(grid):
            levels = grid.sigma[start : start + order + 1]
            changes = [_change_weights(levels, k) for k in range(order + 1)]
            for k, (before, after) in enumerate(pairwise(changes)):
                weights = [w - v for w, v in zip_longest(after, before, fillvalue=0.0)]
                rows.append(eps_row(levels[k::-1], weights[::-1]))
            start += order
        return [*rows, jump(grid.sigma[-2])] if grid.to_zero else rows

    def solver_orders(self, grid: Grid) -> list[int]:
        """Return the order of each DPM-Solver step, which is also its number of intervals."""
        threes, remainder = divmod(len(grid) - int(grid.to_zero), 3)
        if remainder or not threes:
            return [3] * threes + [remainder] * bool(remainder)
        return [3] * (threes - 1) + [2, 1]

    def profile(self, grid: Grid) -> list[int]:
        orders = [order for order in self.solver_orders(grid) for _ in range(order)]
        return [*orders, 1] if grid.to_zero else orders


def _change_weights(levels: tuple[float, ...], k: int) -> list[float]:
    """Return weights of eps_0 … eps_{k-1} in the change of x from ``levels[0]`` to ``levels[k]``.

    The weights sum to levels[k] - levels[0], which is right for constant eps. For k > 1 a term in
    eps_{k-1} - eps_0 is added; evaluations between these two have the weight 0.
    """
    cur, nxt = levels[0], levels[k]
    if k < 2:
        return [nxt - cur] * k
    h, r = math.log(cur / nxt), math.log(cur / levels[k - 1]) / math.log(cur / nxt)
    last = k == len(levels) - 1
    w = nxt * math.expm1(h) / 2 / r if last and k == 2 else nxt * h * phi(2, h) / r
    return [nxt - cur + w, *[0.0] * (k - 2), -w]


_ADAPTIVE_SOURCE = _paper(
    "appendix C, Alg. 6 (DPM-Solver-12) and 7 (DPM-Solver-23)",
    deviations=(
        "the tolerance is on the state x0 + sigma z, as in k-diffusion, not on its "
        "variance-preserving multiple",
        "it is max(atol, rtol max(|x_low|, |x|)), with the state before the step where "
        "the paper has the last low-order state",
        "every sample has its own steps, where the authors' code takes the largest error "
        "of the batch",
        "a step that was rejected is tried again without a new evaluation at its start, "
        "and grows at most tenfold",
    ),
)


def attempt_of_pair(tolerance: Tolerant, x: Tensor, low: Tensor, high: Tensor) -> Attempt:
    """Return ``high`` as an attempt with error (high - low) / max(atol, rtol max(|low|, |x|))."""
    scale = (torch.maximum(low.abs(), x.abs()) * tolerance.rtol).clamp(min=tolerance.atol)
    return Attempt(high, (high - low) / scale)


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver12(AdaptiveSampler):
    """Pair of DPM-Solver-1, x + (nxt - cur) eps, and DPM-Solver-2, x <- x + (nxt - cur) eps_s.

    eps_s is at x + (s - cur) eps, s = sqrt(cur nxt). A step takes two evaluations, a retry one.
    """

    name = "dpm_solver_adaptive_12"
    error_order = 2
    source = _ADAPTIVE_SOURCE
    rtol: float = 0.05
    atol: float = 0.0078

    def attempt(
        self, x: Tensor, d: Tensor, cur: list[float], nxt: list[float], denoise: Denoise
    ) -> Attempt:
        mid = [math.sqrt(a * b) for a, b in zip(cur, nxt, strict=True)]
        eps = (x - d) / as_column(cur, x)
        x_mid = x + _level_change(cur, mid, x) * eps
        eps_mid = (x_mid - denoise(x_mid, level_tensor(mid, x))) / as_column(mid, x)
        change = _level_change(cur, nxt, x)
        return attempt_of_pair(self, x, x + change * eps, x + change * eps_mid)


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver23(AdaptiveSampler):
    """Pair of DPM-Solver-2 with r1 = 1/3 and DPM-Solver-3, which share their first two evaluations.

    A step takes three evaluations, a retry two.
    """

    name = "dpm_solver_adaptive_23"
    error_order = 3
    source = _ADAPTIVE_SOURCE
    rtol: float = 0.05
    atol: float = 0.0078

    def attempt(
        self, x: Tensor, d: Tensor, cur: list[float], nxt: list[float], denoise: Denoise
    ) -> Attempt:
        h = [math.log(a / b) for a, b in zip(cur, nxt, strict=True)]
        s1, s2 = (
            [a * math.exp(-r * k) for a, k in zip(cur, h, strict=True)] for r in (1 / 3, 2 / 3)
        )
        eps = (x - d) / as_column(cur, x)
        u1 = x + _level_change(cur, s1, x) * eps
        diff1 = (u1 - denoise(u1, level_tensor(s1, x))) / as_column(s1, x) - eps
        inner = [4 / 3 * s * k * phi(2, 2 / 3 * k) for s, k in zip(s2, h, strict=True)]
        u2 = x + _level_change(cur, s2, x) * eps - as_column(inner, x) * diff1
        diff2 = (u2 - denoise(u2, level_tensor(s2, x))) / as_column(s2, x) - eps
        first_order = x + _level_change(cur, nxt, x) * eps
        low = first_order + _level_change(cur, nxt, x) * 1.5 * diff1
        outer = [1.5 * b * k * phi(2, k) for b, k in zip(nxt, h, strict=True)]
        return attempt_of_pair(self, x, low, first_order - as_column(outer, x) * diff2)


def _level_change(cur: list[float], nxt: list[float], x: Tensor) -> Tensor:
    return as_column([b - a for a, b in zip(cur, nxt, strict=True)], x)
