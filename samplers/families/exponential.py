"""Weights of exponential integrators of the reverse SDE, with any amount of noise, in lam.

For every kappa >= 0, the SDE

    dx = (1 + kappa) (d - x) dlam + sigma sqrt(2 kappa) dw

has the marginals of the probability flow (kappa = 0) and of the time-reversed noising process
(kappa = 1). Over a step of length h = log(cur / nxt), with k = 1 + kappa, its solution is

    x(lam + h) = e^{-k h} x(lam) + k int_0^h e^{-k (h - s)} d(lam + s) ds + nxt sqrt(1 - e^{-2 kappa h}) z,

with z standard normal. The linear part and the noise are exact; methods differ in how they
approximate d under the integral.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..numerics import monomial_weights, phi
from .linear import LinearRow


def decay(cur: float, nxt: float, kappa: float) -> float:
    """Return the weight (nxt / cur)^(1 + kappa) of the state in a step from ``cur`` to ``nxt``."""
    return (nxt / cur) ** (1 + kappa)


def noise_std(cur: float, nxt: float, kappa: float) -> float:
    """Return the standard deviation nxt sqrt(1 - (nxt / cur)^(2 kappa)) of a step's noise."""
    return nxt * math.sqrt(-math.expm1(-2 * kappa * math.log(cur / nxt)))


def data_moments(cur: float, nxt: float, count: int, kappa: float = 0.0) -> list[float]:
    """Return k int_0^h e^{-k (h - s)} s^j / j! ds = k h^{j+1} phi_{j+1}(-k h), j = 0 … count - 1.

    Moment j is what d = s^j / j! adds to the state. h is log(cur / nxt), and k is 1 + ``kappa``.
    """
    h, k = math.log(cur / nxt), 1 + kappa
    return [k * h ** (j + 1) * phi(j + 1, -k * h) for j in range(count)]


def noise_moments(cur: float, nxt: float, count: int) -> list[float]:
    """Return -nxt int_0^h e^{h - s} s^j / j! ds = -nxt h^{j+1} phi_{j+1}(h), j = 0 … count - 1.

    Moment j is what eps = s^j / j! adds to the state of the ODE. h is log(cur / nxt).
    """
    h = math.log(cur / nxt)
    return [-nxt * h ** (j + 1) * phi(j + 1, h) for j in range(count)]


def data_weights(cur: float, nxt: float, levels: Sequence[float], kappa: float) -> list[float]:
    """Return weights of images at ``levels`` that integrate their polynomial in lam in a step."""
    lam = [math.log(cur / level) for level in levels]
    return monomial_weights(lam, data_moments(cur, nxt, len(levels), kappa))


def sde_row(cur: float, nxt: float, kappa: float, weights: Sequence[float]) -> LinearRow:
    """Return the coefficients of a step of the SDE with noise amount ``kappa``.

    ``weights`` multiply the denoised images, newest first.
    """
    return LinearRow(cur, a=decay(cur, nxt, kappa), b=tuple(weights), c=noise_std(cur, nxt, kappa))


@property
def draws_noise(self: Any) -> bool:
    """Property ``stochastic`` of a sampler with the option ``eta``: True if eta > 0."""
    return self.eta > 0


@property
def strong_order_by_eta(self: Any) -> float | None:
    """Strong order: 1 if eta = 1, else None, as the limit is the path of another SDE."""
    return 1.0 if self.eta == 1 else None


def check_eta(name: str, eta: float) -> None:
    """Raise a ValueError if ``eta``, the amount of noise kappa, is negative or not finite."""
    if not 0 <= eta < math.inf:
        raise ValueError(
            f"{name}: eta must be >= 0 (0 is deterministic, 1 the reverse SDE), got {eta}"
        )
