r"""Error of a start from noise alone, which no number of steps removes.

At sigma_max = S the noisy data are x0 + S z, and a run begins at S z. For Gaussian data with mean
m_k and variance c_k along their principal axes the probability flow maps x(S) to m_k + g_k (x_k -
m_k) with g_k = sqrt(c_k / (c_k + S²)). So samples have the mean (1 - g_k) m_k and the deviation g_k
S. Their Wasserstein distance to the data, per dimension, is

    sqrt(1/D sum_k g_k² [m_k² + (sqrt(c_k + S²) - S)²]).

The start "mean" lacks the term m_k². The start "gaussian" transports S z, and has both terms.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...models.denoiser import Denoiser
from ..suites.cell import moments_of

LARGEST = 1024
"""Largest dimension for start errors, whose covariance takes about a second."""


def start_errors(model: Denoiser) -> dict[str, float]:
    """Return the :func:`start_error` of each way to start: "noise", "mean" and "gaussian".

    The result is empty for data of unknown moments, or of more than LARGEST dimensions.
    """
    moments = moments_of(model) if math.prod(model.event) <= LARGEST else None
    if moments is None:
        return {}
    means, cov = moments
    centred = start_error(np.zeros_like(means), cov, model.sigma_max)
    whole = start_error(means, cov, model.sigma_max)
    return {"noise": whole, "mean": centred, "gaussian": whole}


def start_error(means: NDArray, cov: NDArray, sigma_max: float) -> float:
    """Return the distance to Gaussian data of samples that start at sigma_max z, with exact steps.

    It is the Wasserstein-2 distance over sqrt(D), in data units. ``means`` is ``(D,)``; with
    ``(classes, D)`` it is the RMS over classes. ``cov`` ``(D, D)`` is the covariance in a class.
    """
    variances, axes = np.linalg.eigh(cov)
    c = variances.clip(min=0)
    squares = np.square(np.asarray(means, float).reshape(-1, len(cov)) @ axes).mean(0)
    excess = c / (np.sqrt(c + sigma_max**2) + sigma_max)  # sqrt(c + S²) - S, without cancellation
    return float(np.sqrt(np.mean(c / (c + sigma_max**2) * (squares + excess**2))))
