"""A Monte Carlo estimate with its standard error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Estimate(NamedTuple):
    """Mean of independent draws, with its standard error.

    Attributes:
        value: the mean.
        error: its standard error.
        bound: largest further error of the value, by quadrature or by a bounded tail; 0 if the draws
            are unbiased.
    """

    value: float
    error: float
    bound: float = 0.0

    def covers(self, truth: float, errors: float = 4.0) -> bool:
        """Return True if ``truth`` lies within so many standard errors, and the bound."""
        return abs(self.value - truth) <= errors * self.error + self.bound


def estimate_mean(draws: FloatArray, bound: float = 0.0) -> Estimate:
    """Return the mean of independent ``draws`` ``(n,)``; its error is infinite for a single draw.

    Raises:
        ValueError: no draw.
    """
    n = len(draws)
    if n < 1:
        raise ValueError("an estimate needs at least one draw; raise the number of samples")
    error = float(draws.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return Estimate(float(draws.mean()), error, bound)
