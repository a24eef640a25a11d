"""DPM-Solver, single step: exponential Runge-Kutta methods for the noise prediction, in lam =
-log(sigma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..families.stages import Evaluate, LinearStages
from ..numerics import phi
from ..registry import register
from ..types import Source
from .euler import Euler

_URL = "https://arxiv.org/abs/2206.00927v3"


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver1(Euler):
    """First order: constant eps over the step, which is Euler's method in sigma."""

    name = "dpm_solver_1"
    same_as = "euler"
    source = Source("lu2022dpmsolver", "eq. (3.7)", _URL)


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver2(LinearStages):
    """Second order: with eps = (x - d) / sigma, an Euler step to the level s at the fraction r1 of the step in lam, then

    x <- x + (nxt - cur) [eps + (eps_s - eps) / (2 r1)].

    Attributes:
        r1: where the second evaluation is, in (0, 1); at 1/2 its level is sqrt(cur nxt) and only eps_s counts.
    """  # noqa: D415

    name = "dpm_solver_2"
    order = 2
    source = Source("lu2022dpmsolver", "Alg. 1 (r1 = 1/2) and Alg. 4 (general r1)", _URL)
    r1: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 1:
            raise ValueError(f"dpm_solver_2: r1 must be in (0, 1), got {self.r1}")

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state after a step of the class's formula."""
        mid = cur ** (1 - self.r1) * nxt**self.r1
        eps = (x - denoise(x, cur)) / cur
        x_mid = x + (mid - cur) * eps
        eps_mid = (x_mid - denoise(x_mid, mid)) / mid
        return x + (nxt - cur) * (eps + (eps_mid - eps) / (2 * self.r1))


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver3(LinearStages):
    """Third order: three evaluations at the fractions 0, r1, r2 of the step in lam.

    With h the step in lam and D_k = eps_k - eps:
    u1 = x - sigma_1 (e^{r1 h} - 1) eps;
    u2 = x - sigma_2 (e^{r2 h} - 1) eps - sigma_2 (r2 / r1) r2 h phi_2(r2 h) D_1;
    x <- x - nxt (e^h - 1) eps - (nxt / r2) h phi_2(h) D_2.

    Attributes:
        r1: where the second evaluation is, in (0, 2/3). The third is at r2 = 2/3, the only place
            that gives third order.
    """

    name = "dpm_solver_3"
    order = 3
    source = Source("lu2022dpmsolver", "Alg. 2 and Alg. 5", _URL)
    r1: float = 1 / 3

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 2 / 3:
            raise ValueError(f"dpm_solver_3: r1 must be in (0, 2/3), got {self.r1}")

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """The formulas above, with sigma_k (e^{r h} - 1) = cur - sigma_k."""
        h, r1, r2 = math.log(cur / nxt), self.r1, 2 / 3
        s1, s2 = cur * math.exp(-r1 * h), cur * math.exp(-r2 * h)
        eps = (x - denoise(x, cur)) / cur
        u1 = x + (s1 - cur) * eps
        diff1 = (u1 - denoise(u1, s1)) / s1 - eps
        u2 = x + (s2 - cur) * eps - s2 * (r2 / r1) * r2 * h * phi(2, r2 * h) * diff1
        diff2 = (u2 - denoise(u2, s2)) / s2 - eps
        return x + (nxt - cur) * eps - (nxt / r2) * h * phi(2, h) * diff2
