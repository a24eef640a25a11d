r"""Likelihood bound of a Gaussian diffusion as a function of its first noise level.

The forward process is x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) z (arXiv:1503.03585), with the
signal abar_t = prod_{s <= t} (1 - beta_s). beta_1 is free, and the other steps erase equal shares
of the remaining signal: abar_t = (1 - beta_1) (T - t) / (T - 1), down to 0. Let gamma_t = abar_t /
(1 - abar_t). The true and the model's reverse conditionals of a step differ in their means only,
through the predictions x0 and d. The bound on -log p(x0) is

    1/2 sum_{t=2}^{T} (gamma_{t-1} - gamma_t) E |x0 - d_t|²        the steps down to x_1
    + D/2 log(2 pi / gamma_1) + gamma_1 / 2 E |x0 - d_1|²          the last, from x_1 to x0,

where the last step is N(d_1, 1 / gamma_1), as wide as the noise in x_1, in D dimensions. The term
of the prior is 0, since gamma_T = 0. The bound needs only the squared error of the denoiser along
gamma, and at gamma = 0.

On finitely many points, the exact denoiser identifies the point from x_1 once the noise is smaller
than the gaps. All terms but the logarithm then vanish, and the bound falls by D/2 for every factor
e in beta_1, without limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from samplerbench.models import MMSECurve

from ..arrays import FloatArray


def chain(beta: float, steps: int) -> FloatArray:
    """Return gamma_1 … gamma_T = 0 of T steps, ``(steps,)``, of which the first has rate ``beta``.

    Args:
        beta: rate of the first step, in (0, 1).
        steps: T >= 2.
    """
    left = (1 - beta) * np.arange(steps - 1, -1, -1) / (steps - 1)
    noise = beta + (1 - beta) * np.arange(steps) / (steps - 1)  # 1 - left, without cancellation
    return left / noise


def first_step_bound(
    curve: MMSECurve, blind: FloatArray, dim: int, betas: Sequence[float], steps: int
) -> FloatArray:
    """Return the bound of each sample for each of ``betas``, ``(n, len(betas))`` nats.

    Args:
        curve: each sample's |x0 - d|² along gamma, over the range of all chains.
        blind: each sample's |x0 - d|² at gamma = 0, where d is the mean, ``(n,)``.
        dim: number of dimensions D.
        betas: rates of the first step, each in (0, 1).
        steps: T >= 2.
    """
    columns = []
    for beta in betas:
        gamma = chain(beta, steps)
        error = np.concatenate([curve.at(gamma[:-1]), blind[:, None]], 1)
        down = 0.5 * error[:, 1:] @ (gamma[:-1] - gamma[1:])
        last = 0.5 * dim * math.log(2 * math.pi / gamma[0]) + 0.5 * gamma[0] * error[:, 0]
        columns.append(down + last)
    return np.stack(columns, 1)
