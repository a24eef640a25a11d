"""Variance and modes of samples as shares of the data's, with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerbench.benchmarks.metrics import mode_counts
from samplerbench.models import Denoiser
from samplerbench.models.exact import ExactModel

from ...arrays import FloatArray
from .intervals import Interval, bootstrap

EXACT = 4096
"""Exact samples that tell how often each mode should be visited."""


def variance_kept(x: FloatArray, total: float) -> Interval:
    """Variance of the samples ``(n, d)`` over that of the data."""
    return bootstrap(lambda rows: float(x[rows].var(0, ddof=1).sum()) / total, len(x), draws=100)


def total_variance(model: Denoiser) -> float:
    """Trace of the covariance of a model's data.

    Where means of classes are known, about their common mean.
    """
    found = model.moments()
    if found is None:
        raise ValueError(
            f"nobody knows the variance of the data of model {model.name}; take one with moments"
        )
    mean, cov = found
    between = mean.var(0).sum() if mean.ndim > 1 else 0.0
    return float(np.trace(cov) + between)


def modes_kept(modes: NDArray[np.int64], model: Denoiser) -> Interval:
    """Effective number of modes exp(H) of samples over that of the data: of exact ones, or of
    equally many in each class.
    """
    truth = model.mode_of(model.held_out(EXACT)) if isinstance(model, ExactModel) else None
    k = int(max(modes.max(), 0 if truth is None else truth.max())) + 1
    whole = float(model.classes) if truth is None else effective(mode_counts(truth.numpy(), k))
    return bootstrap(lambda rows: effective(mode_counts(modes[rows], k)) / whole, len(modes))


def effective(counts: NDArray[np.int64]) -> float:
    """exp(H) of the shares of ``counts`` ``(K,)``."""
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum()))
