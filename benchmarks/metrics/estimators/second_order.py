r"""Second-order noise of a squared distance, and an interval that accounts for it.

To second order the value of a Fréchet distance is F + mean IF(x_i) + ½ mean_{i≠j} h(x_i, x_j). F is
the true distance, IF the influence of a sample, and h the effect of a pair of samples:

    h(x, y) = 2 c_x · c_y + sum_ij w_ij (z_i z_j - δ_ij)_x (z_i z_j - δ_ij)_y ,

in the notation of :mod:`.expansion`. A kernel distance (:mod:`.kernel`) has this form exactly.

**Variance.** The sum over pairs has the variance K = E h² / (2 n²), or 10 K / 9 after the
extrapolation of :mod:`.frechet`. The error se comes from influences at the samples' own moments,
IF(x_i) + mean_j h(x_i, x_j), whose variance counts 2 K. The excess is K, or 8 K / 9. The interval
takes sigma: se without the excess, as far as the variance of first order is visible:

    sigma² = se² - excess clip((se² - 2 K) / K, 0, 1).

The whole excess is subtracted if the true distance is at least half the plug-in bias. None is
subtracted if the value is not significantly above 0: intervals need the excess for skewed noise.

**Skewness.** A value that is too low by chance comes with an error that is too low. With g = E IF³,
t = E IF(x) IF(y) h(x, y) and s² = Var IF, the Studentised U-statistic has to order 1/√n the
distribution function Φ(z) + φ(z) delta,

    delta = [g (2 z² + 1) / 6 + t (z² + 1) / 2] / (s³ √n)          (Helmers 1991, *Annals of Statistics* 19, 470, in his terms),

which at ±z is the distribution function of a normal variable lowered by delta. So too many
intervals end below the truth, and too few begin above it. Raising both ends by delta would balance
these errors, but delta is too large for a value that is high by chance. So only the upper end
rises, until both tails together have the nominal probability,

    Φ(-z - rise + delta) + Φ(-z - delta) = 2 Φ(-z).

The rise is about z delta² for small delta and delta - 0.32 for large delta. For negative delta the
lower end falls by as much instead. ``LIMIT`` bounds delta to the range of the expansion.

**Two sides.** Third moments of independent sides add. The mixed second-order term assumes noise of
the same shape on both sides, as close distributions have: K = (√K_a + √K_b)², and t likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ....results.text import Z95
from .rows import FloatArray

ROWS = 256
"""Largest number of samples whose pairs estimate E h²."""

LIMIT = 1.0
"""Largest magnitude of the shift delta, in standard errors."""

NORMAL = NormalDist()


class DistanceNoise(NamedTuple):
    """Moments of the noise of a distance, due to one set of samples or to both sets.

    IF is a sample's influence, and h is the term of a pair of samples (see module).

    Attributes:
        second: variance of second order, K.
        third: E IF³ / n², divided by ``unit``³.
        cross: E IF(x) IF(y) h(x, y) / n², divided by ``unit``³.
        unit: distance > 0, about the standard error. Without it, cubes could overflow float64.
    """

    second: float
    third: float
    cross: float
    unit: float = 1.0


BlockReader = Callable[[], Iterator[tuple[slice, FloatArray, FloatArray]]]
"""Function that yields (slice of samples, their c ``(m, d)``, their z ``(m, k)``), in order."""


def compute_distance_noise(
    influence: FloatArray, blocks: BlockReader, weights: FloatArray, own: FloatArray
) -> DistanceNoise:
    """Return the moments of a distance's noise that is due to one set of samples.

    In the notation of :mod:`.expansion`, ``influence`` ``(n,)`` is IF(x_i), with mean 0.
    ``blocks`` yields c and z, ``weights`` ``(k, k)`` is w_ij, and ``own`` ``(n,)`` is q(x_i). All
    moments are 0 for fewer than 4 samples, or if every influence is 0.
    """
    n = len(influence)
    unit = float(influence.std()) / math.sqrt(n)
    if n < 4 or unit == 0:
        return DistanceNoise(0.0, 0.0, 0.0)
    influence = influence / unit
    chosen, some, mean, spread = np.linspace(0, n - 1, min(n, ROWS)).astype(int), [], 0.0, 0.0
    for where, centred, z in blocks():
        mean = mean + np.asarray(influence[where] @ centred)
        spread = spread + (z * influence[where][:, None]).T @ z
        local = chosen[(where.start <= chosen) & (chosen < where.stop)] - where.start
        some.append((centred[local], z[local]))
    mean, spread = np.asarray(mean) / n, np.asarray(spread) / n
    with_own = 2 * float(mean @ mean) + float(np.vdot(weights, spread * spread))
    # without the pairs of a sample with itself
    cross = (n * with_own - 2 * float(np.mean(influence**2 * own))) / (n - 1) / unit
    some_centred, some_z = (np.concatenate(parts) for parts in zip(*some, strict=True))
    return DistanceNoise(
        _square(some_centred, some_z, weights) / (2 * n**2),
        float(np.mean(influence**3)) / n**2,
        cross / n**2,
        unit,
    )


def _square(centred: FloatArray, z: FloatArray, weights: FloatArray) -> float:
    """Return E h² over pairs of samples of given c and z, after centring h in both arguments."""
    # s_i s_j / (s_i + s_j) is positive and of low numerical rank
    values, vectors = np.linalg.eigh(weights)
    h = 2 * centred @ centred.T
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-4 * values[-1]:
            h += value * ((z * vector) @ z.T) ** 2
    np.fill_diagonal(h, 0)
    return centred_variance(h.sum(axis=1), float(np.vdot(h, h)))


def centred_variance(sums: FloatArray, squares: float) -> float:
    """Return the variance V of a symmetric matrix after subtracting row and column means.

    The matrix is ``(n, n)`` with n >= 4 and a diagonal of 0. ``sums`` ``(n,)`` are its row sums,
    and ``squares`` is the sum of its squared elements. For the formula see :mod:`.kernel`.
    """
    n, total = len(sums), float(sums.sum())
    v = (squares - 2 * float(sums @ sums) / (n - 2) + total**2 / ((n - 1) * (n - 2))) / (
        n * (n - 3)
    )
    return max(v, 0.0)


def add_distance_noise(sides: Sequence[DistanceNoise]) -> DistanceNoise:
    """Return the noise of a distance between independent sides; negative ``cross`` counts as 0."""
    unit = max(side.unit for side in sides)
    third = sum(side.third * (side.unit / unit) ** 3 for side in sides)
    cross = sum(math.sqrt(max(side.cross * (side.unit / unit) ** 3, 0.0)) for side in sides) ** 2
    return DistanceNoise(sum(math.sqrt(side.second) for side in sides) ** 2, third, cross, unit)


def interval(
    value: float, se: float, noise: DistanceNoise, excess: float = 1.0
) -> tuple[float, float]:
    """Return the lower and the upper end of the 95 % interval of a squared distance, both cut at 0.

    So a value below 0 is outside its interval, and far below 0 both ends are 0.

    Args:
        value: squared distance without bias, which may be negative.
        se: standard error from influences, which counts second-order variance twice.
        noise: noise of all sides together.
        excess: variance that ``se²`` counts too much, as a multiple of ``noise.second``.
    """
    first_order = (se**2 - 2 * noise.second) / noise.second if noise.second > 0 else 1.0
    sigma = math.sqrt(se**2 - excess * noise.second * min(max(first_order, 0.0), 1.0))
    skew = noise.third * (2 * Z95**2 + 1) / 6 + noise.cross * (Z95**2 + 1) / 2
    shift = min(max(skew * (noise.unit / sigma) ** 3, -LIMIT), LIMIT) if sigma > 0 else 0.0
    down, up = end_shift(-shift) if shift < 0 else 0.0, end_shift(shift) if shift > 0 else 0.0
    return max(value - (Z95 + down) * sigma, 0.0), max(value + (Z95 + up) * sigma, 0.0)


def end_shift(shift: float) -> float:
    """Return the rise >= 0 of the upper end by skewness delta = ``shift`` > 0, in standard errors."""
    tail = 2 * NORMAL.cdf(-Z95) - NORMAL.cdf(-Z95 - shift)
    return max(shift - Z95 - NORMAL.inv_cdf(tail), 0.0)
