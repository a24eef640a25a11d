"""DPM-Solver-12 and -23: single-step DPM-Solvers of two orders that share their evaluations,
under a tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..families.adaptive import AdaptiveSampler, Attempt, Tolerant
from ..numerics import column, levels, phi
from ..registry import register
from ..types import Denoise, Source

_SOURCE = Source(
    "lu2022dpmsolver",
    "appendix C, Alg. 6 (DPM-Solver-12) and 7 (DPM-Solver-23)",
    "https://arxiv.org/abs/2206.00927v3",
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


def compare(tolerance: Tolerant, x: Tensor, low: Tensor, high: Tensor) -> Attempt:
    """The attempt that ends in ``high``, the higher order.

    The difference to the lower one is its error.
    """
    scale = (torch.maximum(low.abs(), x.abs()) * tolerance.rtol).clamp(min=tolerance.atol)
    return Attempt(high, (high - low) / scale)


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver12(AdaptiveSampler):
    """x_low = x + (nxt - cur) eps.

    X <- x + (nxt - cur) eps_s, eps_s at x + (s - cur) eps and s = sqrt(cur nxt). Two evaluations a
    step.
    """

    name = "dpm_solver_adaptive_12"
    error_order = 2
    source = _SOURCE
    rtol: float = 0.05
    atol: float = 0.0078

    def attempt(
        self, x: Tensor, d: Tensor, cur: list[float], nxt: list[float], denoise: Denoise
    ) -> Attempt:
        """DPM-Solver-1 and DPM-Solver-2 with r1 = 1/2."""
        mid = [math.sqrt(a * b) for a, b in zip(cur, nxt, strict=True)]
        eps = (x - d) / column(cur, x)
        x_mid = x + _gap(cur, mid, x) * eps
        eps_mid = (x_mid - denoise(x_mid, levels(mid, x))) / column(mid, x)
        change = _gap(cur, nxt, x)
        return compare(self, x, x + change * eps, x + change * eps_mid)


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver23(AdaptiveSampler):
    """DPM-Solver-2 with r1 = 1/3 inside DPM-Solver-3 (see there), which has its first two
    evaluations. Three evaluations a step.
    """

    name = "dpm_solver_adaptive_23"
    error_order = 3
    source = _SOURCE
    rtol: float = 0.05
    atol: float = 0.0078

    def attempt(
        self, x: Tensor, d: Tensor, cur: list[float], nxt: list[float], denoise: Denoise
    ) -> Attempt:
        """Try a step: with D_k = eps_k - eps, low has nxt (e^h - 1) 3/2 D_1, x has 3/2 nxt h
        phi_2(h) D_2.
        """
        h = [math.log(a / b) for a, b in zip(cur, nxt, strict=True)]
        s1, s2 = (
            [a * math.exp(-r * k) for a, k in zip(cur, h, strict=True)] for r in (1 / 3, 2 / 3)
        )
        eps = (x - d) / column(cur, x)
        u1 = x + _gap(cur, s1, x) * eps
        diff1 = (u1 - denoise(u1, levels(s1, x))) / column(s1, x) - eps
        inner = [4 / 3 * s * k * phi(2, 2 / 3 * k) for s, k in zip(s2, h, strict=True)]
        u2 = x + _gap(cur, s2, x) * eps - column(inner, x) * diff1
        diff2 = (u2 - denoise(u2, levels(s2, x))) / column(s2, x) - eps
        first_order = x + _gap(cur, nxt, x) * eps
        low = first_order + _gap(cur, nxt, x) * 1.5 * diff1
        outer = [1.5 * b * k * phi(2, k) for b, k in zip(nxt, h, strict=True)]
        return compare(self, x, low, first_order - column(outer, x) * diff2)


def _gap(cur: list[float], nxt: list[float], x: Tensor) -> Tensor:
    """The change of the level of each row, nxt - cur."""
    return column([b - a for a, b in zip(cur, nxt, strict=True)], x)
