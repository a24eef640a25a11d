"""DEIS's rho-RK: classical Runge-Kutta methods in sigma, where the probability-flow ODE is
dx/dsigma = eps = (x - d) / sigma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..families.stages import Evaluate, LinearStages
from ..registry import register
from ..types import Source

_URL = "https://arxiv.org/abs/2204.13902v4"


@dataclass(frozen=True, kw_only=True)
class SigmaRungeKutta(LinearStages):
    """An explicit Runge-Kutta method: with H = nxt - cur, eps_k at x + H sum_j a_kj eps_j and cur +
    c_k H; x <- x + H sum_k b_k eps_k.

    Class attributes:
        c, a, b: its Butcher tableau without the first stage's zeros.
    """

    c: ClassVar[tuple[float, ...]]
    a: ClassVar[tuple[tuple[float, ...], ...]]
    b: ClassVar[tuple[float, ...]]

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """The formulas above; a stage at c = 1 is evaluated at ``nxt``, without rounding."""
        slopes = [(x - denoise(x, cur)) / cur]
        for c_k, a_k in zip(self.c, self.a, strict=True):
            level = (1 - c_k) * cur + c_k * nxt
            y = x + (nxt - cur) * _dot(a_k, slopes)
            slopes.append((y - denoise(y, level)) / level)
        return x + (nxt - cur) * _dot(self.b, slopes)


def _dot(weights: tuple[float, ...], slopes: list[Any]) -> Any:
    first, *others = (w * k for w, k in zip(weights, slopes, strict=True))
    return sum(others, first)


@register
@dataclass(frozen=True, kw_only=True)
class DEISRRK2(SigmaRungeKutta):
    """Heun's rule in sigma: EDM's sampler without churn."""

    name = "deis_rrk_2"
    order = 2
    same_as = "heun"
    source = Source("zhang2023deis", "rhoRK-DEIS; authors' code, 2heun", _URL)
    c, a, b = (1.0,), ((1.0,),), (1 / 2, 1 / 2)


@register
@dataclass(frozen=True, kw_only=True)
class DEISRRK3(SigmaRungeKutta):
    """Kutta's third-order rule in sigma."""

    name = "deis_rrk_3"
    order = 3
    source = Source("zhang2023deis", "rhoRK-DEIS; authors' code, 3kutta", _URL)
    c, a, b = (1 / 2, 1.0), ((1 / 2,), (-1.0, 2.0)), (1 / 6, 4 / 6, 1 / 6)


@register
@dataclass(frozen=True, kw_only=True)
class DEISRRK4(SigmaRungeKutta):
    """The classical fourth-order rule in sigma."""

    name = "deis_rrk_4"
    order = 4
    source = Source("zhang2023deis", "rhoRK-DEIS; authors' code, 4rk", _URL)
    c, a, b = (
        (1 / 2, 1 / 2, 1.0),
        ((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
        (1 / 6, 2 / 6, 2 / 6, 1 / 6),
    )
