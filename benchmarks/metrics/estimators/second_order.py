r"""The second-order noise of a squared distance, and an interval that takes account of it.

To second order the value of a Fréchet distance is F + mean IF(x_i) + ½ mean_{i≠j} h(x_i, x_j), with
(notation of :mod:`.expansion`)

    h(x, y) = 2 c_x · c_y + sum_ij w_ij (z_i z_j - δ_ij)_x (z_i z_j - δ_ij)_y ,

and a kernel distance (:mod:`.kernel`) has the same form, with nothing beyond.

**Variance.** The second sum has the variance K = E h² / (2 n²); after the extrapolation of
:mod:`.frechet`, 10 K / 9. The error se that is taken from influences at the samples' own moments,
which are IF(x_i) + mean_j h(x_i, x_j), counts 2 K. The excess, K or 8 K / 9, is taken out as far as
the first order is visible,

    sigma² = se² - excess clip((se² - 2 K) / K, 0, 1) :

all of it from where the true distance is half the plug-in bias; nothing where the value is not
significantly above 0: the noise is skewed there, and the excess makes intervals cover.

**Skewness.** A value that comes out low comes with a low error. With g = E IF³, t = E IF(x) IF(y)
h(x, y) and s² = Var IF, the Studentised U-statistic has to order 1/√n the distribution function
Φ(z) + φ(z) delta,

    delta = [g (2 z² + 1) / 6 + t (z² + 1) / 2] / (s³ √n)          (Helmers 1991, *Annals of Statistics* 19, 470, in his terms),

which at ±z equals that for a normal moved down by delta: too many intervals end below the truth,
too few begin above it. Raising both ends by delta would balance them; but a value may be high by
chance, and with it its error and its delta. So the lower end stays and the upper one rises until
both tails together have what they should,

    Φ(-z - rise + delta) + Φ(-z - delta) = 2 Φ(-z) :

about z delta² where delta is small, delta - 0.32 where it is large. Where delta is negative the
lower end falls by as much, and the upper one stays. ``LIMIT`` is where delta stops, the range of
the expansion.

**Two sides.** Third moments of independent sides add. The mixed second-order term adds as if the
noise of both sides had one shape, which it has where their distributions are close: K = (√K_a +
√K_b)², and t likewise.
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
"""Number of samples whose pairs estimate E h²."""

LIMIT = 1.0
"""Largest shift delta, in standard errors."""

NORMAL = NormalDist()


class Noise(NamedTuple):
    """Moments of the noise of a distance, from one set of samples or from both.

    Attributes:
        second: K, the variance of second order.
        third: E IF³ / n², in units of ``unit``³, and
        cross: E IF IF h / n², likewise: cubes of distances would leave the range of numbers where
            the distances do not.
        unit: a distance, > 0.
    """

    second: float
    third: float
    cross: float
    unit: float = 1.0


Blocks = Callable[[], Iterator[tuple[slice, FloatArray, FloatArray]]]
"""Callable that yields slices of samples with their c ``(m, d)`` and z ``(m, k)``, in order."""


def noise(influence: FloatArray, blocks: Blocks, weights: FloatArray, own: FloatArray) -> Noise:
    """Compute the noise of one side: influence of mean 0, blocks of c and z, weights w, own q."""
    n = len(influence)
    unit = float(influence.std()) / math.sqrt(n)
    if n < 4 or unit == 0:
        return Noise(0.0, 0.0, 0.0)
    influence = influence / unit
    chosen, some, mean, spread = np.linspace(0, n - 1, min(n, ROWS)).astype(int), [], 0.0, 0.0
    for where, centred, z in blocks():
        mean = mean + np.asarray(influence[where] @ centred)
        spread = spread + (z * influence[where][:, None]).T @ z
        local = chosen[(where.start <= chosen) & (chosen < where.stop)] - where.start
        some.append((centred[local], z[local]))
    mean, spread = np.asarray(mean) / n, np.asarray(spread) / n
    with_own = 2 * float(mean @ mean) + float(np.vdot(weights, spread * spread))
    # pairs of different samples
    cross = (n * with_own - 2 * float(np.mean(influence**2 * own))) / (n - 1) / unit
    some_centred, some_z = (np.concatenate(parts) for parts in zip(*some, strict=True))
    return Noise(
        _square(some_centred, some_z, weights) / (2 * n**2),
        float(np.mean(influence**3)) / n**2,
        cross / n**2,
        unit,
    )


def _square(centred: FloatArray, z: FloatArray, weights: FloatArray) -> float:
    """Return E h² from all pairs of centred samples; terms of h in one alone can be left out."""
    # s_i s_j / (s_i + s_j) is positive and of low numerical rank
    values, vectors = np.linalg.eigh(weights)
    h = 2 * centred @ centred.T
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-4 * values[-1]:
            h += value * ((z * vector) @ z.T) ** 2
    np.fill_diagonal(h, 0)
    return left_over(h.sum(axis=1), float(np.vdot(h, h)))


def left_over(sums: FloatArray, squares: float) -> float:
    """Return V of a symmetric matrix without its diagonal, n >= 4, from row sums and squares."""
    n, total = len(sums), float(sums.sum())
    v = (squares - 2 * float(sums @ sums) / (n - 2) + total**2 / ((n - 1) * (n - 2))) / (
        n * (n - 3)
    )
    return max(v, 0.0)


def sum_of_noise(sides: Sequence[Noise]) -> Noise:
    """Return the noise of a distance between independent sides.

    E IF IF h is not negative, but its estimate may be: it counts as 0 then.
    """
    unit = max(side.unit for side in sides)
    third = sum(side.third * (side.unit / unit) ** 3 for side in sides)
    cross = sum(math.sqrt(max(side.cross * (side.unit / unit) ** 3, 0.0)) for side in sides) ** 2
    return Noise(sum(math.sqrt(side.second) for side in sides) ** 2, third, cross, unit)


def interval(
    value: float, se: float, noise: Noise, excess: float = 1.0, z: float = Z95
) -> tuple[float, float]:
    """Return the ends of the interval of a squared distance, >= 0.

    They are (0, 0) where the value is so far below 0 that no distance explains it.

    A value below 0 is outside its interval.

    Args:
        value: without bias.
        se: from influences.
        noise: of all sides.
        excess: share of the second order's variance that ``se`` has too much.
        z: half-width in standard errors, > 0; 95 % by default.
    """
    first_order = (se**2 - 2 * noise.second) / noise.second if noise.second > 0 else 1.0
    sigma = math.sqrt(se**2 - excess * noise.second * min(max(first_order, 0.0), 1.0))
    skew = noise.third * (2 * z**2 + 1) / 6 + noise.cross * (z**2 + 1) / 2
    shift = min(max(skew * (noise.unit / sigma) ** 3, -LIMIT), LIMIT) if sigma > 0 else 0.0
    down, up = end_shift(-shift, z) if shift < 0 else 0.0, end_shift(shift, z) if shift > 0 else 0.0
    return max(value - (z + down) * sigma, 0.0), max(value + (z + up) * sigma, 0.0)


def end_shift(shift: float, z: float = Z95) -> float:
    """Return the outward shift of an end at ``z``, >= 0 standard errors, under a shift >= 0."""
    tail = 2 * NORMAL.cdf(-z) - NORMAL.cdf(-z - shift)
    return max(shift - z - NORMAL.inv_cdf(tail), 0.0)
