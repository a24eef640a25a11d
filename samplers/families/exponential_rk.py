"""Exponential Runge-Kutta methods for the data prediction, in lam = -log(sigma): the linear
part of dx/dlam = d - x is solved exactly.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

from .stages import Evaluate, LinearStages


class Tableau(NamedTuple):
    """Coefficients of one step; the weights of the first evaluation follow from the others.

    Attributes:
        c: where the second, third, … evaluation is, as fractions of the step in lam.
        a: for each of them, the weights of the second, third, … evaluation before it.
        b: the weights of the second, third, … evaluation in the result.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ExponentialRungeKutta(LinearStages):
    """Exponential Runge-Kutta method: with s_k = cur^{1 - c_k} nxt^{c_k}, d_1 = denoise(x, cur), h
    the step in lam,

    d_k = denoise((s_k / cur) x + (1 - s_k / cur) d_1 + h sum_j a_kj (d_j - d_1), s_k) for k = 2, …;
    x <- (nxt / cur) x + (1 - nxt / cur) d_1 + h sum_k b_k (d_k - d_1).

    The differences d_j - d_1 make every stage exact for constant d (Hochbruck & Ostermann 2010).
    """  # noqa: D415

    @abstractmethod
    def tableau(self, h: float) -> Tableau:
        """The coefficients for a step of length ``h`` > 0 in lam."""

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state after a step of the class's formulas."""
        h = math.log(cur / nxt)
        c, a, b = self.tableau(h)
        first = denoise(x, cur)
        differences: list[Any] = []

        def state(level: float, weights: tuple[float, ...]) -> Any:
            exact = level / cur * x + (1 - level / cur) * first
            return sum((h * w * diff for w, diff in zip(weights, differences, strict=True)), exact)

        for c_k, a_k in zip(c, a, strict=True):
            level = cur ** (1 - c_k) * nxt**c_k
            differences.append(denoise(state(level, a_k), level) - first)
        return state(nxt, b)
