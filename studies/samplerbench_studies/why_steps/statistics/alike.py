"""Effective number of different outputs, by the share of pairs that are alike."""

from __future__ import annotations

import numpy as np

from samplerbench.benchmarks.metrics import neighbour_distances, square_distances

from ...arrays import FloatArray
from .intervals import Interval

NONE_SEEN = 3.0
"""If none of k independent pairs is alike, their share is below ``NONE_SEEN / k`` (95 %)."""


def reach_of(real: FloatArray) -> float:
    """Return the distance below which two pictures are alike.

    Half of the real pictures ``(m, d)`` have another one within it.
    """
    return float(np.sqrt(np.median(neighbour_distances(real, real, 1, same=True))))


def alike(x: FloatArray, reach: float, *, draws: int = 400, seed: int = 0) -> Interval:
    """Return the share of pairs of different rows of ``(n, d)`` that are within ``reach``.

    The share does not depend on n >= 2, unlike a number of clusters. Its inverse is an effective
    number of outputs: k equally likely outputs have 1 / k (Simpson's index). The interval is a
    percentile bootstrap over rows, with pairs of different rows only. If no pair is alike, it
    ends at three over n / 2, because n rows have n / 2 independent pairs.
    """
    n = len(x)
    near = np.concatenate([square <= reach**2 for _, square in square_distances(x, x)])
    near = near.astype(np.float64)
    np.fill_diagonal(near, 0.0)

    def share(weights: FloatArray) -> float:
        pairs = n**2 - np.square(weights).sum()
        return float(weights @ near @ weights / pairs) if pairs else 1.0

    rng = np.random.default_rng(seed)
    found = [
        share(np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64))
        for _ in range(draws)
    ]
    low, high = np.quantile(found, (0.025, 0.975))
    if not near.any():
        high = NONE_SEEN / (n // 2)
    return Interval(share(np.ones(n)), float(low), float(high))
