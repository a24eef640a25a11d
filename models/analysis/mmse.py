"""MMSE curves of models: exact ones by their posterior, networks by their denoising loss.

Every level of a curve uses the same x0 and z (x = x0 + z / sqrt(gamma)), so that it is smooth, and
differences of its values have little noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..exact.base import ExactModel
from .estimate import FloatArray
from .mmse_curve import MMSECurve
from .posterior_trace import posterior_trace

Spread = Callable[[Tensor, Tensor, float], Tensor]
"""Integrand at (x0, x, sigma): ``(batch,)``, of conditional mean |x0 - d|² given x."""


def tabulate(
    spread: Spread, x0: Tensor, z: Tensor, gamma: FloatArray | Sequence[float]
) -> MMSECurve:
    """Return the curve of any ``spread``, at x = x0 + z / sqrt(gamma) for the given clean samples and noise
    ``(n, *event)``.
    """
    with torch.no_grad():
        columns = [
            spread(x0, x0 + z / math.sqrt(g), 1 / math.sqrt(g)).double().cpu().numpy()
            for g in gamma
        ]
    return MMSECurve(np.asarray(gamma, dtype=np.float64), np.stack(columns, 1))


def normal_like(x0: Tensor, seed: int, stream: int = 0) -> Tensor:
    """Standard normal noise like ``x0``, a function of ``seed`` and ``stream`` >= 0.

    The first rows do not depend on their number.
    """
    rng = np.random.default_rng((seed, 2, stream))
    return torch.from_numpy(rng.standard_normal(tuple(x0.shape))).to(x0)


def exact_mmse(
    model: ExactModel, gamma: FloatArray | Sequence[float], samples: int, seed: int = 0
) -> MMSECurve:
    """Return the curve of an exact model, by its posterior trace: less noisy than squared errors, and with
    the same mean.

    Args:
        model: its ``sample`` gives the clean samples.
        gamma: nodes.
        samples: n >= 1.
        seed: >= 0.
    """
    x0 = model.sample(samples, seed)
    return tabulate(
        lambda _x0, x, sigma: posterior_trace(model, x, sigma), x0, normal_like(x0, seed), gamma
    )


def denoising_loss(
    model: Denoiser,
    x0: Tensor,
    gamma: FloatArray | Sequence[float],
    *,
    seed: int = 0,
    labels: Tensor | None = None,
) -> MMSECurve:
    """Return the mean squared error E |x0 - d|² of any denoiser on given clean samples.

    It is the mmse plus E |d - E[x0 | x]|², the squared error of the network itself: an upper bound,
    up to sampling noise.

    Args:
        model: any denoiser.
        x0: ``(n, *event)`` samples of the data.
        gamma: nodes.
        seed: of the noise, >= 0.
        labels: ``(n,)`` or None.
    """

    def loss(x0: Tensor, x: Tensor, sigma: float) -> Tensor:
        return (x0 - model.denoise(x, sigma, labels)).double().flatten(1).square().sum(1)

    return tabulate(loss, x0, normal_like(x0, seed), gamma)


def gaussian_mmse(variances: FloatArray, gamma: FloatArray | float) -> FloatArray:
    """sum_j v_j / (1 + gamma v_j): the mmse of a Gaussian with these variances in its principal
    directions ``(d,)``.

    No distribution with the same covariance has a larger one.
    """
    v = np.asarray(variances)[:, None]
    return (v / (1 + np.atleast_1d(gamma) * v)).sum(0)
