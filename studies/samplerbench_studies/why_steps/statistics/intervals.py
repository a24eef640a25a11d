"""Intervals of statistics, by standard errors or the bootstrap over independent samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplerbench.models import Estimate

from ...arrays import FloatArray

NORMAL = 1.96
"""Half-width of a 95 % interval in standard errors."""


class Interval(NamedTuple):
    """Value with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @classmethod
    def normal(cls, value: float, error: float) -> Interval:
        """Return the normal interval of an estimate with standard error ``error``."""
        return cls(value, value - NORMAL * error, value + NORMAL * error)

    @classmethod
    def of(cls, found: Estimate) -> Interval:
        """Return the interval of a Monte Carlo estimate: noise plus bound on either side."""
        half = NORMAL * found.error + found.bound
        return cls(found.value, found.value - half, found.value + half)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], n: int, *, draws: int = 400, seed: int = 0
) -> Interval:
    """Return an interval by the percentile bootstrap.

    See Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Args:
        statistic: function of an array of sample indices, some of which repeat.
        n: number of samples, >= 1.
        draws: number of bootstrap replicates.
        seed: seed of the replicates.
    """
    rng = np.random.default_rng(seed)
    found: FloatArray = np.array([statistic(rng.integers(0, n, n)) for _ in range(draws)])
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(statistic(np.arange(n)), float(low), float(high))
