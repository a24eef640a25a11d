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
"""Number of exact samples to estimate the frequencies of modes."""


def variance_kept(x: FloatArray, total: float) -> Interval:
    """Return the variance of samples ``(n, d)`` over the data's."""
    return bootstrap(lambda rows: float(x[rows].var(0, ddof=1).sum()) / total, len(x), draws=100)


def total_variance(model: Denoiser) -> float:
    """Return the trace of the covariance of a model's data.

    For class means, it is about their common mean. Raises a ValueError for unknown moments.
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
    """Return the effective number of modes exp(H) of samples, over the data's.

    The data's is estimated from exact samples, or assumes equally frequent classes.
    """
    truth = model.mode_of(model.held_out(EXACT)) if isinstance(model, ExactModel) else None
    k = int(max(modes.max(), 0 if truth is None else truth.max())) + 1
    whole = float(model.classes) if truth is None else effective(mode_counts(truth.numpy(), k))
    return bootstrap(lambda rows: effective(mode_counts(modes[rows], k)) / whole, len(modes))


def effective(counts: NDArray[np.int64]) -> float:
    """Return exp(H) of the shares of ``counts`` ``(K,)``."""
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum()))
