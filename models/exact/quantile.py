"""Probability flow of one-dimensional Gaussian mixtures as monotone transport of quantiles."""

from __future__ import annotations

import math

import numpy as np

from .base import FloatArray

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
EPS = float(np.finfo(np.float64).eps)
MAX_STEPS = 200
"""Far above the worst case: every second step at least halves, and 60 halvings take a bracket
to the spacing of floats.
"""


def transport(
    x: FloatArray, weights: FloatArray, means: FloatArray, source: FloatArray, target: FloatArray
) -> FloatArray:
    """Return G^{-1}(F(x)), where F and G are distribution functions of mixtures with equal weights and means.

    Matching the logarithm of the smaller tail loses no digit at any x: where F(x) > 1/2, the problem
    is reflected.

    Args:
        x: ``(n, d)`` points of d independent problems.
        weights: ``(K, d)`` > 0.
        means: ``(K, d)``.
        source: ``(K, d)`` standard deviations of F's components, > 0.
        target: ``(K, d)`` standard deviations of G's, > 0.

    Returns:
        ``(n, d)``: the solutions to rounding error, times the condition of G^{-1} where G is flat.

    Raises:
        ArithmeticError: a point is not finite.
    """
    if not np.isfinite(x).all():
        raise ArithmeticError("the probability flow needs finite states")
    log_weights = np.log(weights)[:, None]
    below = log_cdf(x, log_weights, means[:, None], source[:, None])
    above = log_cdf(-x, log_weights, -means[:, None], source[:, None])
    sign = np.where(below <= above, 1.0, -1.0)
    return sign * log_quantile(
        np.minimum(below, above), log_weights, sign * means[:, None], target[:, None]
    )


def log_cdf(
    x: FloatArray, log_weights: FloatArray, means: FloatArray, stds: FloatArray
) -> FloatArray:
    """Return the logarithm of a mixture's distribution function; axis 0 of the parameters is the component."""
    from scipy.special import log_ndtr  # here: a finished run has no use for it

    return np.logaddexp.reduce(log_weights + log_ndtr((x - means) / stds), axis=0)


def log_quantile(
    level: FloatArray, log_weights: FloatArray, means: FloatArray, stds: FloatArray
) -> FloatArray:
    """Return the y at which :func:`log_cdf` equals ``level`` <= log(1/2): Newton's method in a bracket.

    A mixture's quantile lies between its components' quantiles. A Newton step that leaves the bracket,
    or is not smaller than half the step before last, is replaced by a bisection (Brent's safeguard), so
    convergence does not depend on the starting point.
    """
    from scipy.special import ndtri_exp  # here: a finished run has no use for it

    z = ndtri_exp(level)
    margin = 1e-9 * (1 + np.abs(z))  # far out, ndtri_exp is good to about 1e-13 of z
    low, high = (means + stds * (z - margin)).min(0), (means + stds * (z + margin)).max(0)
    y = 0.5 * (low + high)
    before_last = last = high - low
    done = np.zeros(level.shape, dtype=bool)
    for _ in range(MAX_STEPS):
        value = log_cdf(y, log_weights, means, stds)
        log_density = np.logaddexp.reduce(
            log_weights - np.log(stds) - 0.5 * ((y - means) / stds) ** 2 - HALF_LOG_2PI, axis=0
        )
        low, high = np.where(value < level, y, low), np.where(value > level, y, high)
        # In the gap between two modes the density may vanish altogether: a huge step then means a
        # bisection.
        step = (level - value) * np.exp(np.minimum(value - log_density, 500))
        newton = y + step
        safe = (low <= newton) & (newton <= high) & (np.abs(step) < 0.5 * before_last)
        proposal = np.where(safe, newton, 0.5 * (low + high))
        before_last, last = last, np.abs(proposal - y)
        # Converged elements stay: each follows its own path, independent of the others.
        done |= np.abs(value - level) <= 2 * EPS * np.abs(level)
        y = np.where(done, y, proposal)
        done |= last <= EPS * (np.abs(y) + stds.min(0))
        if done.all():
            return y
    raise ArithmeticError("the quantile of a mixture did not converge; are its weights positive?")
