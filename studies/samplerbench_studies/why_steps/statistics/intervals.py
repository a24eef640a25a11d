"""Intervals of what is no plain mean: the bootstrap over independent samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplerbench.models import Estimate

from ...arrays import FloatArray

NORMAL = 1.96
"""Standard errors to either side of a 95 % interval."""


class Interval(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half its width."""
        return (self.high - self.low) / 2

    @classmethod
    def normal(cls, value: float, error: float) -> Interval:
        """Of an estimate with this standard error."""
        return cls(value, value - NORMAL * error, value + NORMAL * error)

    @classmethod
    def of(cls, found: Estimate) -> Interval:
        """Of a Monte Carlo estimate: its noise, and what quadrature or a tail may add to that
        on either side.
        """
        half = NORMAL * found.error + found.bound
        return cls(found.value, found.value - half, found.value + half)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float], n: int, *, draws: int = 400, seed: int = 0
) -> Interval:
    """The percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    section 13.3).

    Args:
        statistic: of the samples with these numbers, some of which occur several times.
        n: number of samples, >= 1.
        draws: how often they are drawn anew.
        seed: decides which.
    """
    rng = np.random.default_rng(seed)
    found: FloatArray = np.array([statistic(rng.integers(0, n, n)) for _ in range(draws)])
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(statistic(np.arange(n)), float(low), float(high))
