r"""Errors of two configurations on the same latents, and whether one is worse.

With e_i the distance of sample i to the converged endpoint of its latent, an error is r = sqrt(mean e_i²).
For two configurations a and b on the same latents, log(r_a / r_b) = 1/2 log(mean a_i² / mean b_i²) has, to
first order in 1 / n, the terms

    1/2 (a_i² / mean a² - b_i² / mean b²),

whose standard deviation over sqrt(n) is its standard error (delta method). What a latent does to both alike
cancels. Quantiles are Student's with n - 1 degrees of freedom, since a race begins with few latents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..answer import Value

Squares = NDArray[np.float64]
"""``(n,)`` squared distances per dimension, of latents 0 … n - 1; infinite where a sample is."""

EXACT = 1e-24
"""Squared distances below this count as this: samples that are exact have no ratio otherwise."""


class Log(NamedTuple):
    """A logarithm with its standard error and the number of samples behind it."""

    value: float
    se: float
    n: int

    def interval(self) -> Value:
        """Of what it is the logarithm of, with the 95 % interval; flagged where there is no error."""
        if self.n < 2 or not math.isfinite(self.value):
            value = math.exp(self.value) if math.isfinite(self.value) else math.inf
            return Value(value, 0.0, math.inf, "too few samples, or some are not finite")
        reach = float(stats.t.ppf(0.975, self.n - 1)) * self.se
        low, high = (math.exp(min(self.value + sign * reach, 700.0)) for sign in (-1, 1))
        return Value(math.exp(self.value), low, high)


def error(squares: Squares) -> float:
    """sqrt(mean e²)."""
    return float(np.sqrt(squares.mean()))


def log_error(squares: Squares) -> Log:
    """The logarithm of the error."""
    kept = np.maximum(squares, EXACT)
    if not np.isfinite(kept).all():
        return Log(math.inf, math.inf, len(kept))
    mean = kept.mean()
    return Log(0.5 * math.log(mean), _se(0.5 * kept / mean), len(kept))


def log_ratio(a: Squares, b: Squares) -> Log:
    """The logarithm of the error of ``a`` over that of ``b``, on the latents that both have."""
    n = min(len(a), len(b))
    first, second = np.maximum(a[:n], EXACT), np.maximum(b[:n], EXACT)
    whole = bool(np.isfinite(first).all()), bool(np.isfinite(second).all())
    if not all(whole):
        return Log({(False, True): math.inf, (True, False): -math.inf}.get(whole, 0.0), math.inf, n)
    ends = first.mean(), second.mean()
    return Log(
        0.5 * math.log(ends[0] / ends[1]), _se(0.5 * (first / ends[0] - second / ends[1])), n
    )


def worse(a: Squares, b: Squares, level: float) -> bool:
    """Whether the error of ``a`` is shown to be larger than that of ``b``: a one-sided test that says so
    with a chance of ``level`` at most where it is not.
    """
    found = log_ratio(a, b)
    if found.value <= 0:
        return False
    if math.isinf(found.value):
        return True
    if found.n < 2 or found.se == 0:
        return found.se == 0
    return found.value / found.se > float(stats.t.ppf(1 - level, found.n - 1))


def _se(terms: Squares) -> float:
    return float(terms.std(ddof=1) / math.sqrt(len(terms))) if len(terms) > 1 else math.inf
