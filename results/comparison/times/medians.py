"""Medians of few times: an exact interval, and when it is narrow enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import lru_cache
from math import comb

LEVEL = 0.95
FEWEST = 6
"""Fewer times have no 95 % interval: the range of five covers the median in 94 % of cases."""


def median_interval(times: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest symmetric pair of order statistics that covers the median with
    probability >= 95 %, for any distribution.

    Independent times lie below their median like tosses of a coin, so [t_(k+1), t_(n-k)] misses it
    with probability 2 P(B <= k), B being binomial (n, 1/2) (David and Nagaraja, Order Statistics,
    section 7.1). The whole range below ``FEWEST`` times, which covers less.

    Args:
        times: at least one, in any unit and order.

    >>> median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    (1.0, 6.0)
    """
    ordered, k = sorted(times), max(0, left_out(len(times)))
    return ordered[k], ordered[-1 - k]


@lru_cache(maxsize=4096)
def left_out(n: int) -> int:
    """Return the largest k with 2 P(B <= k) <= 5 %: of ``n`` times, k lie on either side outside
    the 95 % interval; -1 if there is none.

    >>> [left_out(n) for n in (5, 6, 8, 9, 30)]
    [-1, 0, 0, 1, 9]
    """
    k, below = -1, 1
    while 40 * below <= 2**n:  # integers: 2 below / 2^n <= 1 / 20
        k += 1
        below += comb(n, k + 1)
    return k


def settled(times: Sequence[float], half_width: float, fewest: int) -> bool:
    """Return True if the interval of the median is within ``half_width`` of it, relative to it.

    Args:
        times: so far.
        half_width: relative, > 0.
        fewest: never settled below this many times, nor below ``FEWEST``.
    """
    if len(times) < max(fewest, FEWEST):
        return False
    low, high = median_interval(times)
    return (high - low) / 2 <= half_width * statistics.median(times)
