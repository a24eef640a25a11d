"""A Monte Carlo estimate with its standard error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean over independent draws.

    Attributes:
        value: the mean.
        error: its standard error.
        bound: how far the value may be off besides, by quadrature or by a tail that was bounded; 0
            if the draws are unbiased.
    """

    value: float
    error: float
    bound: float = 0.0

    def covers(self, truth: float, errors: float = 4.0) -> bool:
        """Whether ``truth`` lies within so many standard errors, and the bound."""
        return abs(self.value - truth) <= errors * self.error + self.bound


def estimate_mean(draws: FloatArray, bound: float = 0.0) -> Estimate:
    """The mean of independent ``draws`` ``(n,)``; its error is infinite if there is only one.

    Raises:
        ValueError: no draw.
    """
    n = len(draws)
    if n < 1:
        raise ValueError("an estimate needs at least one draw; raise the number of samples")
    error = float(draws.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return Estimate(float(draws.mean()), error, bound)
