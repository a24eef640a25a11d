r"""Errors of two configurations on the same latents, and whether one is worse.

With e_i the distance of sample i to the converged endpoint of its latent, the error is the geometric mean
exp(mean log e_i), and two configurations a and b differ by the mean of log(a_i / b_i), whose standard error
is a mean's. What a latent does to both alike cancels. Quantiles are Student's with n - 1 degrees of
freedom.

A race begins with four latents, and compares each of hundreds with the luckiest. A few differences that happen to
be alike make a standard deviation that is far too small, so where a configuration is to be dropped
(:func:`worse`) the variance is moderated (Smyth 2004, doi:10.2202/1544-6115.1027, section 4): by
:data:`PRIOR_FREEDOM` degrees of freedom of :data:`PRIOR`, what good configurations differ by on networks.

Why not the root mean square: one latent in a hundred lies so near a boundary of the flow that it ends elsewhere
with every sampler of few steps. Its square is most of the mean then, the same for all, and which sampler is
best is decided by it (docs/advise.md has the numbers). It is reported too.
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
"""Squares below this count as this."""
PRIOR, PRIOR_FREEDOM = 0.3, 4
"""Standard deviation of the logarithm of two configurations' distances; 0.2 to 0.5 was seen."""


class Log(NamedTuple):
    """Mean of logarithms with its standard error and its number of samples."""

    value: float
    se: float
    n: int

    def interval(self) -> Value:
        """Return the exponential of the mean with its 95 % interval; flagged where there is no error."""
        if self.n < 2 or not math.isfinite(self.value):
            value = math.exp(self.value) if math.isfinite(self.value) else math.inf
            return Value(value, 0.0, math.inf, "too few samples, or some are not finite")
        reach = float(stats.t.ppf(0.975, self.n - 1)) * self.se
        low, high = (math.exp(min(self.value + sign * reach, 700.0)) for sign in (-1, 1))
        return Value(math.exp(self.value), low, high)


def logs(squares: Squares) -> NDArray[np.float64]:
    """Return the logarithms ``(n,)`` of the distances."""
    return 0.5 * np.log(np.maximum(squares, EXACT))


def error(squares: Squares) -> float:
    """Return the geometric mean of the distances."""
    return float(np.exp(logs(squares).mean()))


def root_mean_square(squares: Squares) -> float:
    """Return the root mean square of the distances."""
    return float(np.sqrt(squares.mean()))


def log_error(squares: Squares) -> Log:
    """Return the logarithm of the error."""
    return _mean(logs(squares))


def log_ratio(a: Squares, b: Squares) -> Log:
    """Return the logarithm of the ratio of the errors of ``a`` and ``b``, on the latents that both have."""
    n = min(len(a), len(b))
    with np.errstate(invalid="ignore"):  # infinite less infinite
        return _mean(logs(a[:n]) - logs(b[:n]))


def worse(a: Squares, b: Squares, level: float) -> bool:
    """Return True if the error of ``a`` is shown to be larger than ``b``'s: a one-sided test at ``level``."""
    ratio = log_ratio(a, b)
    if ratio.value == math.inf:
        return True
    if not ratio.value > 0 or ratio.n < 2:
        return False
    own = ratio.n - 1
    freedom = own + PRIOR_FREEDOM
    variance = (own * ratio.n * ratio.se**2 + PRIOR_FREEDOM * PRIOR**2) / freedom
    return ratio.value / math.sqrt(variance / ratio.n) > float(stats.t.ppf(1 - level, freedom))


def _mean(terms: NDArray[np.float64]) -> Log:
    n = len(terms)
    if not np.isfinite(terms).all():
        signs = terms[~np.isfinite(terms)]
        ends = [math.inf, -math.inf]
        value = next((end for end in ends if bool((signs == end).all())), math.nan)
        return Log(value, math.inf, n)
    return Log(
        float(terms.mean()), float(terms.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf, n
    )
