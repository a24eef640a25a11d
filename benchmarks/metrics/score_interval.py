r"""Intervals for squared distances, whose error grows with the distance itself.

An unbiased estimate V of a squared distance theta = |delta|² has, with u the noise of the estimated delta, of covariance C,

    V - theta = 2 <delta, u> + (|u|² - tr C),        Var V = 4 delta^T C delta + 2 tr C² = slope theta + at_zero,

slope = 4 delta^T C delta / |delta|² being a property of the direction of delta. So a V that happens to be small comes with a small standard
error: intervals V ± z SE end too low then and miss the truth, while near 0 they are too wide. The score interval (Wilson 1927, for a
proportion; Rao 1948) asks each theta with *its own* error,

    { theta >= 0 : (V - theta)² <= z² (at_zero + slope theta) },

whose ends solve a quadratic equation: V + z² slope / 2 ± z sqrt(at_zero + slope V + z² slope² / 4), moved to 0 if below.
"""

from __future__ import annotations

import math

from ...results.text import Z95


def score_interval(value: float, at_zero: float, slope: float, z: float = Z95) -> tuple[float, float]:
    """The ends of the interval of a squared distance.

    Args:
        value: unbiased, so possibly negative.
        at_zero: variance of ``value`` where the true distance is 0, >= 0.
        slope: how much the variance grows with the true squared distance, >= 0.
        z: half-width in standard errors, > 0; 95 % by default.

    Returns:
        ``(low, high)``, 0 <= low <= high. A value so far below 0 that no distance explains it has the interval
        of one point, the centre, or 0.
    """
    centre = value + z**2 * slope / 2
    half = z * math.sqrt(max(at_zero + slope * value + (z * slope / 2) ** 2, 0.0))
    large = centre + math.copysign(half, centre)
    # The product of the ends is value² - z² at_zero: the small one by difference would lose its digits where slopes are large.
    small = (value**2 - z**2 * at_zero) / large if half > 0 and large else centre
    low, high = sorted((large, small))
    return max(low, 0.0), max(high, 0.0)
