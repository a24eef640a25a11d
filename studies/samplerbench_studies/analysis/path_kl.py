r"""Kullback-Leibler divergence of the paths of ancestral sampling from the true reverse process.

Let gamma = 1 / sigma² and y = x / sigma² = gamma x. The noisy states of one clean sample are
observations of it through a growing channel, y_gamma = gamma x0 + W_gamma with a Brownian motion W,
and by Lévy's innovations theorem the true process is also

    dy = d(y, gamma) dgamma + dB,      d = E[x0 | y],

with another Brownian motion B. Freezing d over a step gives y_nxt = y + (gamma_nxt - gamma) d +
sqrt(gamma_nxt - gamma) z; that is

    x_nxt = (nxt / cur)² x + (1 - (nxt / cur)²) d + nxt sqrt(1 - (nxt / cur)²) z,

the sampler ``ddpm``, and ``ddim`` with eta = 1: DDPM with the posterior variance of its eq. (7), or
Euler-Maruyama on y in the clock gamma. Girsanov's theorem gives the divergence of the frozen
process Q from the true one P, started alike:

    KL(P || Q) = 1/2 sum_i int_{gamma_i}^{gamma_{i+1}} E |d_gamma - d_{gamma_i}|² dgamma.

d is a martingale in gamma under P (a conditional expectation given ever more), hence E |d_gamma -
d_i|² = mmse(gamma_i) - mmse(gamma) and

    KL(P || Q) = 1/2 sum_i int_{gamma_i}^{gamma_{i+1}} [mmse(gamma_i) - mmse(gamma)] dgamma:

a staircase of left end points minus the curve. The area under the curve is the information about x0
that the steps gain, by I-MMSE (Guo, Shamai and Verdú, IEEE Trans. Inf. Theory 51:1261, 2005,
theorem 1). The divergence is the area between the staircase and the curve. Given the states at the
grid's levels, the paths between them are Brownian bridges under P (whatever x0 is) and under Q; so
the divergence of the chain of states is the same number, and it bounds that of the last state (data
processing).

Limits:

* The last level is > 0: a step to 0 adds no noise and would make the divergence infinite. Such a
  step is left out.
* Both start from p_sigma_max. A start from N(0, sigma_max² I) adds at most :func:`start_bound`.
* Other noise levels (eta), other variances and the probability flow are other processes, for which
  this number is not the divergence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from samplerbench.models import Estimate, MMSECurve, estimate_mean, normal_like
from samplerbench.models.exact import ExactModel

from ..arrays import FloatArray

NODES_PER_NAT = 3
"""Gauss-Legendre nodes per unit of log gamma in a step, in addition to four."""


def step_kl(curve: MMSECurve, levels: Sequence[float]) -> FloatArray:
    """Return each sample's part of the divergence in each step, ``(n, N)`` nats.

    N is the number of steps between positive levels.

    Args:
        curve: MMSE curve over the range of the levels.
        levels: falling noise levels; a last level of 0 is omitted, with its step.

    Raises:
        ValueError: no step between positive levels, or the curve is too short.
    """
    gamma = _gammas(levels)
    stairs = curve.at(gamma[:-1]) * np.diff(gamma)
    return 0.5 * np.stack(
        [stairs[:, i] - curve.integral(a, b) for i, (a, b) in enumerate(pairwise(gamma))], 1
    )


def path_kl(curve: MMSECurve, levels: Sequence[float]) -> Estimate:
    """Return the module's KL(P || Q) in nats, with a bound for the interpolation.

    Arguments as in :func:`step_kl`.
    """
    draws, coarse = (step_kl(c, levels).sum(1) for c in (curve, curve.halved()))
    return estimate_mean(draws, abs(float((draws - coarse).mean())))


def girsanov_kl(
    model: ExactModel, levels: Sequence[float], samples: int, seed: int = 0
) -> Estimate:
    """Return KL(P || Q) by simulating true paths and integrating |d_gamma - d_i|² along them.

    It uses neither MMSE nor the martingale property, so it checks :func:`path_kl`.

    Args:
        model: an exact model.
        levels: as in :func:`step_kl`.
        samples: number of paths, >= 2.
        seed: seed >= 0. The paths share x0 with a curve of the same seed, but no noise.
    """
    x0 = model.sample(samples, seed)
    gamma = _gammas(levels)
    y = gamma[0] * x0 + math.sqrt(gamma[0]) * normal_like(x0, seed, 1)
    now, stream, total = float(gamma[0]), 2, torch.zeros(samples, dtype=torch.float64)
    for start, stop in pairwise(gamma):
        frozen = model.denoise(y / start, 1 / math.sqrt(start), None)
        nodes, weights = _quadrature(start, stop)
        for at, weight in zip([*nodes, stop], [*weights, 0.0], strict=True):
            y = y + (at - now) * x0 + math.sqrt(at - now) * normal_like(x0, seed, stream)
            now, stream = float(at), stream + 1
            if weight:
                moved = model.denoise(y / at, 1 / math.sqrt(at), None) - frozen
                total += 0.5 * weight * moved.flatten(1).square().sum(1)
    return estimate_mean(total.numpy())


def start_bound(second_moment: float, sigma_max: float) -> float:
    """Return an upper bound E |x0|² / (2 sigma_max²), in nats, of KL(p_sigma_max || N(0, sigma_max²
    I)).

    It follows from the convexity of the divergence.

    Args:
        second_moment: E |x0|² of the data.
        sigma_max: first level of the sampler, > 0.
    """
    return second_moment / (2 * sigma_max**2)


def _gammas(levels: Sequence[float]) -> FloatArray:
    positive = [level for level in levels if level > 0]
    if len(positive) < 2:
        raise ValueError(
            "a path divergence needs a step between two positive levels; a step to 0 has none"
        )
    if any(nxt >= cur for cur, nxt in pairwise(positive)):
        raise ValueError(f"noise levels must fall strictly, got {tuple(levels)}")
    return np.array([level**-2.0 for level in positive])


def _quadrature(start: float, stop: float) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of the integral over dgamma = gamma dlog(gamma)."""
    width = math.log(stop / start)
    nodes, weights = np.polynomial.legendre.leggauss(4 + math.ceil(NODES_PER_NAT * width))
    gamma = start * np.exp(width * (nodes + 1) / 2)
    return gamma, gamma * weights * width / 2
