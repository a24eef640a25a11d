"""Fréchet distance of two Gaussians that are given by their moments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .metrics.estimators.expansion import FrechetReference
from .metrics.estimators.frechet import frechet_distance as distance
from .metrics.estimators.rows import FloatArray, Moments


def frechet_distance(mu1: ArrayLike, cov1: ArrayLike, mu2: ArrayLike, cov2: ArrayLike) -> float:
    """Return the squared Fréchet distance of two Gaussians, which FID computes for features.

    The result is |mu1 - mu2|² + tr(cov1 + cov2 - 2 (cov1 cov2)^½), in double precision.

    Args:
        mu1: mean ``(d,)``, an array or a tensor.
        cov1: covariance ``(d, d)``, symmetric and positive semi-definite.
        mu2: as ``mu1``.
        cov2: as ``cov1``.

    Raises:
        ValueError: shapes differ, a value is not finite, or a matrix is no covariance.

    >>> frechet_distance([0.0], [[1.0]], [3.0], [[4.0]])  # 3² + (1 - 2)²
    10.0
    """
    first = FrechetReference(_float64_array(mu1), _float64_array(cov1))
    second = FrechetReference(_float64_array(mu2), _float64_array(cov2))
    for side in (first, second):
        if not np.allclose(side.cov, side.cov.T):
            raise ValueError("a covariance is not symmetric")
        side.factor  # noqa: B018 - refuses one that is not positive semi-definite
    return distance(first, Moments(2, second.mean, second.cov))


def _float64_array(values: Any) -> FloatArray:
    """Return an array, or a tensor on any device, as an array in double precision."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, np.float64)
    if not array.ndim:
        raise ValueError("a number is no mean (d,) or covariance (d, d); give arrays, also for d=1")
    return array
