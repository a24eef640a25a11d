"""DPM-Solver, multistep: exponential Adams-Bashforth methods for the noise prediction, in lam = -log(sigma).

The exact solution is x(lam + h) = x - nxt int_0^h e^{h-s} eps(lam + s) ds with eps = (x - d) / sigma, and
nxt int_0^h e^{h-s} s^k / k! ds = nxt h^{k+1} phi_{k+1}(h). The methods differ in how they approximate eps on the step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from ..base import LinearMultistep, LinearRow, jump
from ..grid import Grid
from ..lagrange import monomial_weights
from ..phi import phi
from ..registry import register
from ..types import Source

_URL = "https://arxiv.org/abs/2211.01095v2"
_HIGH_ORDER = "third order is published for the data prediction only; the same derivation is used here for eps"


@dataclass(frozen=True, kw_only=True)
class NoiseMultistep(LinearMultistep):
    """x <- x - sum_j w_j eps_{i-j}: the first steps use the history that there is, the step to 0 none (x <- d)."""

    @abstractmethod
    def weights(self, nxt: float, h: list[float]) -> list[float]:
        """Weights of eps_i, eps_{i-1}, …, given the steps in lam ``h``: this one first, then the earlier ones (none at the start)."""

    def plan(self, grid: Grid) -> list[LinearRow]:
        """eps_j enters through the memo x_j - d_j, with 1 / sigma_j in its weight."""
        rows, steps = [], [math.log(cur / nxt) if nxt > 0 else math.inf for cur, nxt in grid.intervals()]
        for i, (cur, nxt) in enumerate(grid.intervals()):
            if nxt == 0:
                rows.append(jump(cur))
                continue
            h = steps[max(0, i - self.history) : i + 1][::-1]
            b = tuple(-w / grid.sigma[i - j] for j, w in enumerate(self.weights(nxt, h)))
            rows.append(LinearRow(cur, a=1.0, b=b, p=1.0, q=-1.0))
        return rows


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver2M(NoiseMultistep):
    """Second order, midpoint weights: x <- x - nxt (e^h - 1) [(1 + w) eps_i - w eps_{i-1}] with w = h / (2 h_prev)."""

    name = "dpm_solver_2m"
    order = 2
    history = 1
    source = Source("lu2022dpmpp", "Alg. 2 and appendix B, for the noise prediction", _URL)

    def weights(self, nxt: float, h: list[float]) -> list[float]:
        """The total weight nxt (e^h - 1), times (1 + w, -w)."""
        total = nxt * math.expm1(h[0])
        w = h[0] / (2 * h[1]) if len(h) > 1 else 0.0
        return [total * (1 + w), -total * w] if w else [total]


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver3M(NoiseMultistep):
    """Third order: eps is the parabola through its last three values, integrated exactly."""

    name = "dpm_solver_3m"
    order = 3
    history = 2
    source = Source(
        "lu2022dpmpp", "appendix B, for the noise prediction", _URL,
        deviations=(_HIGH_ORDER, "the second divided difference has the factor 2 that the published code lacks"),
    )  # fmt: skip

    def weights(self, nxt: float, h: list[float]) -> list[float]:
        """Moments h^{k+1} phi_{k+1}(h) against the nodes 0, -h_1, -h_1 - h_2."""
        nodes = [-math.fsum(h[1 : j + 1]) for j in range(len(h))]
        return [nxt * w for w in monomial_weights(nodes, [h[0] ** (k + 1) * phi(k + 1, h[0]) for k in range(len(h))])]


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver3MPublished(NoiseMultistep):
    """Third order as the authors' code has it, which is second order: half of the curvature term is missing.

    x <- x - nxt [h phi_1 eps + h phi_2 (h D1) + h phi_3 (h² D2)], with D1 the slope of the parabola at the newest value and D2 half of its
    second derivative, where the whole belongs. The damping can help below 20 evaluations.
    """

    name = "dpm_solver_3m_published"
    order = 2
    history = 2
    source = Source(
        "lu2022dpmpp", "authors' code, multistep_dpm_solver_third_update, algorithm_type dpmsolver", _URL,
        deviations=("declared at its measured order, 2",),
    )  # fmt: skip

    def weights(self, nxt: float, h: list[float]) -> list[float]:
        """The third-order weights with the moment of s²/2 halved; the second step is that of the 2M method."""
        if len(h) < 3:
            return DPMSolver2M().weights(nxt, h)
        nodes = [0.0, -h[1], -h[1] - h[2]]
        moments = [h[0] * phi(1, h[0]), h[0] ** 2 * phi(2, h[0]), h[0] ** 3 * phi(3, h[0]) / 2]
        return [nxt * w for w in monomial_weights(nodes, moments)]
