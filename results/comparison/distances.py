r"""Distances of samples to their converged endpoints: the typical one, and their mean square.

A few samples may end in another mode ("flips"). Each is then as far off as the data are wide: a
flip rate of 0.1 % can be most of a mean square. N samples need not hold a single one. Three numbers
keep this apart:

* **Typical error**: the geometric mean of the distances without the smallest and the largest fifth.
  Flips below a rate of 20 % do not move it. With l = log e, winsorised at both cuts to w, the
  influence of a sample is (w_i - mean w) / (1 - 2 TRIM) (Tukey and McLaughlin 1963; of pairs: Yuen
  and Dixon 1973).
* **Root mean square**: its interval follows from the mean of squares q = e². The upper end allows
  for flips that the samples do not show: as if :data:`IMAGINARY_FLIPS` of them had been seen. For N
  samples without a flip, Clopper and Pearson's upper bound on the rate is 3.7 / N; 1.96 times 2.5
  is 4.9, which holds for small counts of flips too.
* **Flips**, which :mod:`.shares` counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..quantities import Summary
from ..text import Z95

Array = NDArray[np.float64]

TRIM = 0.2
"""Share of the distances that is left out at either end of a typical error."""
IMAGINARY_FLIPS = 2.5
"""Unseen flips that the upper end of the interval of a mean allows for."""
FEWEST_CARRIERS, SHARE_OF_CARRIERS = 20, 0.25
"""Half of a mean of squares is to be carried by this many samples, or by this share of few."""
EXACT = 1e-12
"""Distances are counted as no smaller than this share of the distance between two endpoints."""


class TypicalError(NamedTuple):
    """Typical error: its value, ``(n,)`` influence on its logarithm, n times what a flip adds, df."""

    value: float
    influence: Array
    jump: float
    df: int


def typical_error(distances: Array, apart: float) -> TypicalError:
    """Return the typical error of distances ``(n,)`` >= 0, two endpoints being ``apart``."""
    n = len(distances)
    logs = np.log(np.maximum(distances, max(np.finfo(float).tiny, EXACT * apart)))
    cut, ordered = int(TRIM * n), np.sort(logs)
    winsorised = np.clip(logs, ordered[cut], ordered[n - 1 - cut])
    influence = (winsorised - winsorised.mean()) / (1 - 2 * TRIM)
    value = float(np.exp(ordered[cut : n - cut].mean()))
    return TypicalError(value, influence, float(influence.max()), n - 2 * cut - 1)


def largest_flip_square(distances: Array, apart: float) -> float:
    """Return the most that a flip adds to the sum of squares: ``apart``² or the largest square."""
    return max(float(np.square(distances).max()), apart**2)


class DistanceSummary(NamedTuple):
    """Summary of distances with its standard error and the ends of its 95 % interval."""

    value: float
    se: float
    low: float
    high: float


def summed(distances: Array, apart: float, summary: Summary) -> DistanceSummary:
    """Return the typical or root-mean-square distance, as ``summary`` says, of distances ``(n,)`` >= 0.

    ``apart`` is the distance of two endpoints. Standard error and interval are NaN for one sample.
    """
    n = len(distances)
    if summary == "typical":
        stats = typical_error(distances, apart)
        if n < 2:
            return DistanceSummary(stats.value, math.nan, math.nan, math.nan)
        spread = float(stats.influence.std(ddof=1)) / math.sqrt(n)
        # Student's quantile over the normal one, to first order in 1 / df
        factor = math.exp(Z95 * spread * (1 + (Z95**2 + 1) / (4 * max(stats.df, 1))))
        return DistanceSummary(
            stats.value, stats.value * spread, stats.value / factor, stats.value * factor
        )
    squares = np.square(distances)
    q = float(squares.mean())
    value = math.sqrt(q)
    if n < 2:
        return DistanceSummary(value, math.nan, math.nan, math.nan)
    spread = float(squares.std(ddof=1)) / math.sqrt(n)
    unseen = IMAGINARY_FLIPS * largest_flip_square(distances, apart) / n
    low, high = q - Z95 * spread, q + Z95 * math.hypot(spread, unseen)
    se = spread / (2 * value) if value > 0 else 0.0
    return DistanceSummary(value, se, math.sqrt(max(low, 0.0)), math.sqrt(high))


def carried_by_few(distances: Array) -> str:
    """Return why a mean of squares is not to be trusted (few samples carry half); else ""."""
    n = len(distances)
    sums = np.square(np.sort(distances)[::-1]).cumsum()
    carriers = int(np.searchsorted(sums, sums[-1] / 2)) + 1
    if sums[-1] == 0 or carriers >= min(FEWEST_CARRIERS, SHARE_OF_CARRIERS * n):
        return ""
    return f"half of the mean square is carried by {carriers} of {n} samples"
