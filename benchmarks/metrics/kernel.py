r"""Kernel distance (KID): unbiased squared maximum mean discrepancy, with analytic error.

With k(x, y) = (x·y / d + 1)³ (Bińkowski et al. 2018, arXiv:1801.01401), samples x_1 … x_n and
reference samples y_1 … y_m,

    KID = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_ij k(x_i, y_j),

the U-statistic on all samples. Random subsets are not used: their spread is no standard error.

**Variance.** Hoeffding's decomposition of the three means has uncorrelated terms. For a random
sample X and a random reference sample Y, let a(x) = E k(x, X) - E k(x, Y) and b(y) = E k(y, Y) - E
k(y, X). Let V be the variance of a kernel matrix after subtracting row and column means. Then

    Var = 4 Var a / n + 4 Var b / m + 2 V_xx / (n (n-1)) + 2 V_yy / (m (m-1)) + 4 V_xy / (n m).

If both distributions are equal, only the second-order terms remain. Each V has an unbiased estimate
that is never negative (U-centring, Székely and Rizzo 2014, section 3). With row sums r and total T
of a kernel matrix without its diagonal,

    V_xx = [sum k² - 2/(n-2) sum r² + T² / ((n-1)(n-2))] / (n (n-3)),

and likewise for the cross matrix. The variance of estimated row means, s_a², includes the noise of
these means, which is subtracted: Var a = s_a² - V_xx (n-2) / (n-1)² - V_xy / m (cf. Sutherland and
Deka 2019, arXiv:1906.02104; here for unequal sizes).

**Interval.** :mod:`.second_order` takes the variance of the influences, which counts the second
order twice. Let u and v be the influences: 2 a(x) and 2 b(y) at the samples' own means, less their
means. The moment E IF IF h of that module is

    2 E u(x) u(x') k(x, x') / n² + 2 E v(y) v(y') k(y, y') / m² - 4 E u(x) v(y) k(x, y) / (n m),

estimated from all pairs of ``PAIRS`` samples of each side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.quantities.built_in import KID
from .estimators.rows import FloatArray, as_rows, block_slices
from .estimators.second_order import DistanceNoise, centred_variance, interval
from .metric import Context, Measured, columns_of, metric

BLOCK = 1024
"""Rows of the kernel matrix in memory at a time, 8 MB of values for as many columns."""


class Kernel(NamedTuple):
    """Kernel k: ``between`` returns k(x_i, y_j) ``(n, m)``, and ``itself`` k(x_i, x_i) ``(n,)``."""

    between: Callable[[FloatArray, FloatArray], FloatArray]
    itself: Callable[[FloatArray], FloatArray]


def kernel_moments_within(
    x: NDArray, block: int, kernel: Kernel
) -> tuple[FloatArray, float, float]:
    """Return row means ``(n,)``, mean and V (see module) of a kernel matrix without diagonal."""
    n = len(x)
    sums, squares = np.zeros(n), 0.0
    for i, rows in float64_blocks(x, block):
        # the lower triangle of a symmetric matrix
        for j, columns in float64_blocks(x[: i.stop], block):
            tile = kernel.between(rows, columns)
            if i == j:
                np.fill_diagonal(tile, 0)
            sums[i] += tile.sum(axis=1)
            squares += float(np.vdot(tile, tile)) * (1 if i == j else 2)
            if i != j:
                sums[j] += tile.sum(axis=0)
    total = float(sums.sum())
    return sums / (n - 1), total / (n * (n - 1)), centred_variance(sums, squares)


def kernel_moments_between(
    x: NDArray, y: NDArray, block: int, kernel: Kernel
) -> tuple[FloatArray, FloatArray, float]:
    """Return row means ``(n,)``, column means ``(m,)``, V (see module) of k between two sets."""
    n, m = len(x), len(y)
    rows, columns, squares = np.zeros(n), np.zeros(m), 0.0
    for i, part in float64_blocks(x, block):
        for j, other in float64_blocks(y, block):
            tile = kernel.between(part, other)
            rows[i] += tile.sum(axis=1)
            columns[j] += tile.sum(axis=0)
            squares += float(np.vdot(tile, tile))
    centred = squares - float(rows @ rows) / m - float(columns @ columns) / n
    centred += float(rows.sum()) ** 2 / (n * m)
    return rows / m, columns / n, max(centred / ((n - 1) * (m - 1)), 0.0)


def bilinear_form(
    x: NDArray, u: FloatArray, y: NDArray, v: FloatArray, block: int, kernel: Kernel
) -> float:
    """Return sum_ij u_i k(x_i, y_j) v_j for weights ``u`` ``(n,)`` and ``v`` ``(m,)``."""
    return sum(
        float(u[i] @ kernel.between(rows, columns) @ v[j])
        for i, rows in float64_blocks(x, block)
        for j, columns in float64_blocks(y, block)
    )


def _cubic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the kernel matrix (x_i·y_j / d + 1)³, ``(n, m)``, of rows x_i and y_j."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


CUBIC = Kernel(_cubic, lambda x: (np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** 3)
"""Kernel of KID."""


def float64_blocks(x: NDArray, block: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (slice, rows in float64) of each block; raises the errors of :func:`.as_rows`."""
    return ((where, as_rows(x[where])) for where in block_slices(len(x), block))


KERNEL_ESTIMATOR = "kid/4 cubic kernel, U-statistic, Hoeffding standard error, skewed interval"
"""Version of the estimator, changed with every change of its values or errors."""

SMALLEST = 4
"""Fewest samples of a side for which V, with its n - 3 in the denominator, is defined."""

PAIRS = 2000
"""Largest number of samples of a side whose pairs estimate the skewness of the noise."""

LARGEST = 1e24
"""Largest magnitude of a feature: the kernel grows as the sixth power of it and is squared."""


@dataclass(frozen=True, eq=False)
class KernelEstimate:
    """Kernel distance between the distributions of two sets of samples, with its error.

    Attributes:
        value: unbiased squared maximum mean discrepancy, around 0 for equal distributions.
        se: standard error of ``value``, to second order, from the noise of both sets.
        low, high: ends of the 95 % interval, >= 0, which account for the skewness of the noise.
        influence: influence u of each sample ``(n,)``, in order, mean 0. The error sqrt(var u / n +
            var v / m) is √2 ``se`` for equal distributions, and ``se`` for very different ones.
        reference_influence: influence v of each reference sample ``(m,)``, mean 0.
    """

    value: float
    se: float
    low: float
    high: float
    influence: FloatArray
    reference_influence: FloatArray


def kid(features: ArrayLike, reference_features: ArrayLike, block: int = BLOCK) -> KernelEstimate:
    """Estimate the KID, with error and interval, between the distributions of two independent sets.

    Args:
        features: ``(n, d)`` of the generated samples, n >= 4; converted to float64 by blocks.
        reference_features: ``(m, d)`` of samples of the truth, m >= 4.
        block: rows of the kernel matrix in memory at a time, >= 1. It changes rounding only.

    Raises:
        ValueError: a side has fewer than four samples, dimensions differ, or values are not finite
            or beyond ``LARGEST``.
    """
    x, y = np.asarray(features), np.asarray(reference_features)
    _check(x, y)
    return estimate_squared_mmd(x, y, CUBIC, block)


def estimate_squared_mmd(
    x: NDArray, y: NDArray, kernel: Kernel, block: int = BLOCK
) -> KernelEstimate:
    """Estimate the squared maximum mean discrepancy of rows ``(n, d)`` and ``(m, d)``, n, m >= 4.

    Rows must be finite, and the kernel symmetric and conditionally positive definite.
    """
    n, m = len(x), len(y)
    rows_x, mean_x, v_x = kernel_moments_within(x, block, kernel)
    rows_y, mean_y, v_y = kernel_moments_within(y, block, kernel)
    cross_x, cross_y, v_xy = kernel_moments_between(x, y, block, kernel)
    value = mean_x + mean_y - 2 * float(cross_x.mean())
    half_x, half_y = rows_x - cross_x, rows_y - cross_y
    # includes the noise of the means
    noisy = 4 * (half_x.var(ddof=1) / n + half_y.var(ddof=1) / m)
    noise = sum(
        4 * (v * (size - 2) / (size - 1) ** 2 + v_xy / other) / size
        for v, size, other in ((v_x, n, m), (v_y, m, n))
    )
    second = 2 * v_x / (n * (n - 1)) + 2 * v_y / (m * (m - 1)) + 4 * v_xy / (n * m)
    # The first-order term is a variance: an estimate below 0 means that it is small.
    first = max(noisy - noise, 0.0)
    se = float(np.sqrt(second + first))
    u, v = _influence(half_x), _influence(half_y)
    noisy_se = float(np.sqrt(noisy))
    low, high = interval(value, noisy_se, _noise(second, noisy_se, (x, u), (y, v), kernel, block))
    return KernelEstimate(value, se, low, high, u, v)


Side = tuple[NDArray, FloatArray]
"""Features ``(n, d)`` of one side, and their influences ``(n,)``."""


def _noise(
    second: float, unit: float, side_x: Side, side_y: Side, kernel: Kernel, block: int
) -> DistanceNoise:
    """Return the :class:`.DistanceNoise` of both sides together, with the given ``second`` and ``unit``.

    The moment ``cross`` is estimated from at most PAIRS samples of each side.
    """
    if unit == 0:
        return DistanceNoise(second, 0.0, 0.0)
    (x, u), (y, v) = side_x, side_y
    n, m, u, v = len(x), len(y), u / unit, v / unit
    third = float(np.mean(u**3)) / n**2 + float(np.mean(v**3)) / m**2
    some, others = _spread(n), _spread(m)
    x, u, y, v = x[some], u[some], y[others], v[others]
    between = bilinear_form(x, u, y, v, block, kernel) / (len(u) * len(v))
    cross = (
        2 * _pairs(x, u, kernel, block) / n**2
        + 2 * _pairs(y, v, kernel, block) / m**2
        - 4 * between / (n * m)
    )
    return DistanceNoise(second, third, cross / unit, unit)


def _spread(n: int) -> NDArray[np.int_]:
    return np.linspace(0, n - 1, min(n, PAIRS)).astype(int)


def _pairs(x: NDArray, u: FloatArray, kernel: Kernel, block: int) -> float:
    """Return the mean over i ≠ j of u_i u_j k(x_i, x_j), for at least two samples."""
    diagonal = np.concatenate([kernel.itself(rows) for _, rows in float64_blocks(x, block)])
    pairs = bilinear_form(x, u, x, u, block, kernel) - float(u**2 @ diagonal)
    return pairs / (len(u) * (len(u) - 1))


def _check(x: NDArray, y: NDArray) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"features {x.shape} and reference features {y.shape} must be "
            "(n, d) and (m, d): use one extractor"
        )
    if min(len(x), len(y)) < SMALLEST:
        raise ValueError(
            f"the kernel distance of {len(x)} and {len(y)} samples has no "
            f"error: pass at least {SMALLEST} of each"
        )
    if not all(-LARGEST <= side.min() <= side.max() <= LARGEST for side in (x, y)):  # NaN fails too
        raise ValueError(
            f"features that are not finite, or beyond {LARGEST:g}, have no "
            "kernel: mark their samples as diverged"
        )


def _influence(half: FloatArray) -> FloatArray:
    return 2 * (half - half.mean())


MOST = 10_000
"""Largest number of samples of a side that are compared; the first samples are taken."""


@metric("kid", version=8, needs={"features"}, quantities=(KID,))
def measure_kid(cell: Context) -> Measured:
    """Measure the KID of features to as many held-out ones; empty if too few or above LARGEST."""
    x = cell.feature_rows[:MOST]
    too_large = np.abs(x).max() > LARGEST
    return Measured({}) if too_large else measure_against_held_out(cell, "kid", x, kid)


def measure_against_held_out(
    cell: Context,
    name: str,
    x: NDArray,
    estimator: Callable[[NDArray, FloatArray], KernelEstimate],
) -> Measured:
    """Return a distance of features ``x`` ``(n, d)`` to n held-out ones; empty if too few."""
    y = cell.held_out(len(x))
    if min(len(x), len(y)) < SMALLEST:
        return Measured({})
    score = estimator(x, y)
    influences = {name: score.influence, f"{name}_reference": score.reference_influence}
    return Measured(columns_of(name, score), influences)
