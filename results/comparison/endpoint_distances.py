r"""Summaries of the distances from samples to their converged endpoints.

Let e be the distance of a sample to its converged endpoint. A few samples may end in another mode
("flips"), with e as large as the data's width. A flip rate of 0.1 % can dominate a mean square, and
N samples need not contain a flip. Three summaries separate flips from ordinary errors:

* **Typical error**: the geometric mean of e without the smallest and the largest fifth. Flip rates
  below 20 % barely change it. Let w_i be log e_i, winsorised: the values of the two fifths become
  the nearest of the other values. The influence of sample i is (w_i - mean w) / (1 - 2 TRIM) (Tukey
  and McLaughlin 1963; Yuen and Dixon 1973 for pairs). With 20 to 30 % of flips, those fifths may
  hide all flips that were drawn, so that w_i hardly vary. So the influence is winsorised one
  standard error of the size of a fifth further out.
* **Root mean square**: its interval follows from the mean of e². The upper end allows for
  :data:`IMAGINARY_FLIPS` unseen flips. For N samples without a flip, Clopper and Pearson's upper
  bound on the rate is 3.7 / N. Here it is 1.96 * 2.5 / N = 4.9 / N, which covers small counts too.
* **Flips**, whose share :mod:`.sample_shares` compares.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..quantities import Summary
from .significance import half_width_95

Array = NDArray[np.float64]

TRIM = 0.2
"""Share of the distances that a typical error omits at either end."""
IMAGINARY_FLIPS = 2.5
"""Number of unseen flips in the upper end of the interval of a mean square."""
FEWEST_CARRIERS, SHARE_OF_CARRIERS = 20, 0.25
"""Fewest samples that may carry half of a mean square with a valid interval: min(20, 0.25 n), at least 2."""
LARGEST_LOG = 700.0
"""Largest logarithm of a factor between a value and the ends of its interval; beyond it, they are 0 and inf."""
EXACT = 1e-12
"""Share of the distance between two endpoints to which smaller distances are raised."""


class TypicalError(NamedTuple):
    """Typical error ``value`` of n samples, from :func:`typical_error`.

    ``influence`` ``(n,)`` has each sample's effect on log ``value``, from above in the fifths that
    are omitted. ``jump`` is the effect of a flip, ``df`` are the degrees of freedom.
    """

    value: float
    influence: Array
    jump: float
    df: int


def typical_error(distances: Array, apart: float) -> TypicalError:
    """Return the trimmed geometric mean of distances ``(n,)`` >= 0, with each sample's influence.

    ``apart`` is the RMS distance between the endpoints of two different latents. Distances below
    :data:`EXACT` times ``apart`` are raised to that product, so that their logarithms are finite.
    ``value`` is 0 if all distances that count are 0.
    """
    n = len(distances)
    logs = np.log(np.maximum(distances, max(np.finfo(float).tiny, EXACT * apart)))
    cut, ordered = int(TRIM * n), np.sort(logs)
    outer = int(max(0, cut - math.sqrt(TRIM * (1 - TRIM) * n)))
    influence, inner = (
        (winsorised - winsorised.mean()) / (1 - 2 * TRIM)
        for winsorised in (np.clip(logs, ordered[k], ordered[n - 1 - k]) for k in (outer, cut))
    )
    is_zero = np.sort(distances)[n - 1 - cut] == 0
    value = 0.0 if is_zero else float(np.exp(ordered[cut : n - cut].mean()))
    return TypicalError(value, influence, float(inner.max()), n - 2 * cut - 1)


def largest_flip_square(distances: Array, apart: float) -> float:
    """Return an upper estimate of a flip's squared distance: max(``apart``, largest distance)²."""
    return max(float(np.square(distances).max()), apart**2)


class DistanceSummary(NamedTuple):
    """Typical error or root mean square, with standard error and ends of the 95 % interval."""

    value: float
    se: float
    low: float
    high: float


def summarise_distances(distances: Array, apart: float, summary: Summary) -> DistanceSummary:
    """Return the typical error of distances if ``summary`` is "typical", else their RMS.

    ``distances`` is ``(n,)``, >= 0. ``apart`` is as for :func:`typical_error`. Standard error and
    interval are NaN for one sample.
    """
    n = len(distances)
    if summary == "typical":
        value, influence, _, df = typical_error(distances, apart)
        if n < 2:
            return DistanceSummary(value, math.nan, math.nan, math.nan)
        spread = float(influence.std(ddof=1)) / math.sqrt(n)
        reach = half_width_95(df) * spread
        factor = math.exp(reach) if reach < LARGEST_LOG else math.inf
        return DistanceSummary(value, value * spread, value / factor, value * factor)
    squares = np.square(distances)
    q = float(squares.mean())
    value = math.sqrt(q)
    if n < 2:
        return DistanceSummary(value, math.nan, math.nan, math.nan)
    spread = float(squares.std(ddof=1)) / math.sqrt(n)
    unseen = IMAGINARY_FLIPS * largest_flip_square(distances, apart) / n
    reach = half_width_95(n - 1)
    low, high = q - reach * spread, q + reach * math.hypot(spread, unseen)
    se = spread / (2 * value) if value > 0 else 0.0
    return DistanceSummary(value, se, math.sqrt(max(low, 0.0)), math.sqrt(high))


def why_carried_by_few(distances: Array) -> str:
    """Return a warning (a clause) if few samples make up half of the mean square; else ""."""
    n = len(distances)
    sums = np.square(np.sort(distances)[::-1]).cumsum()
    carriers = int(np.searchsorted(sums, sums[-1] / 2)) + 1
    if sums[-1] == 0 or carriers >= min(FEWEST_CARRIERS, max(SHARE_OF_CARRIERS * n, 2)):
        return ""
    return f"half of the mean square is carried by {carriers} of {n} samples"
