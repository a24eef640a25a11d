r"""Kernel distance (KID): the squared maximum mean discrepancy of features, unbiased, with its
analytic standard error.

With k(x, y) = (x·y / d + 1)³ (Bińkowski et al. 2018, arXiv:1801.01401), samples x_1 … x_n and
reference samples y_1 … y_m,

    KID = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_ij k(x_i, y_j),

the U-statistic on all samples: no random subsets, whose spread is no standard error.

**Variance.** Hoeffding's decomposition of the three means has uncorrelated terms. With a(x) = E
k(x, X) - E k(x, Y), b(y) = E k(y, Y) - E k(y, X), and V the variance of a kernel matrix after the
means of its rows and columns are taken out,

    Var = 4 Var a / n + 4 Var b / m + 2 V_xx / (n (n-1)) + 2 V_yy / (m (m-1)) + 4 V_xy / (n m).

The second-order terms are all that there is where both distributions are equal. Each V has an
unbiased estimate that is never negative (U-centring, Székely and Rizzo 2014, section 3): with row
sums r and total T of a kernel matrix without its diagonal,

    V_xx = [sum k² - 2/(n-2) sum r² + T² / ((n-1)(n-2))] / (n (n-3)),

and likewise for the cross matrix. A variance of estimated row means, s_a², counts the noise of the
means too, which is taken off: Var a = s_a² - V_xx (n-2) / (n-1)² - V_xy / m (cf. Sutherland and
Deka 2019, arXiv:1906.02104; here for unequal sizes).

**Interval.** By :mod:`.second_order`, which starts from the variance of the influences, 2
(a(x) - its mean) and 2 (b(y) - its mean), at the samples' own means: it counts the second order
twice. With u and v the influences, E IF IF h is there

    2 E u(x) u(x') k(x, x') / n² + 2 E v(y) v(y') k(y, y') / m² - 4 E u(x) v(y) k(x, y) / (n m),

from all pairs of ``PAIRS`` samples of each side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.quantities.built_in import KID
from .estimators.rows import FloatArray, as_rows, cuts
from .estimators.second_order import Noise, interval, left_over
from .metric import Context, Measured, metric

BLOCK = 1024
"""Rows of a tile: 8 MB of kernel values."""


class Kernel(NamedTuple):
    """Kernel of rows: between two sets, ``(n, m)``, and of each row with itself, ``(n,)``."""

    between: Callable[[FloatArray, FloatArray], FloatArray]
    itself: Callable[[FloatArray], FloatArray]


def within(x: NDArray, block: int, kernel: Kernel) -> tuple[FloatArray, float, float]:
    """Return row means, mean and V of the kernel matrix of one set, without its diagonal."""
    n = len(x)
    sums, squares = np.zeros(n), 0.0
    for i, rows in blocks(x, block):
        for j, columns in blocks(x[: i.stop], block):  # the lower triangle: the matrix is symmetric
            tile = kernel.between(rows, columns)
            if i == j:
                np.fill_diagonal(tile, 0)
            sums[i] += tile.sum(axis=1)
            squares += float(np.vdot(tile, tile)) * (1 if i == j else 2)
            if i != j:
                sums[j] += tile.sum(axis=0)
    total = float(sums.sum())
    return sums / (n - 1), total / (n * (n - 1)), left_over(sums, squares)


def across(
    x: NDArray, y: NDArray, block: int, kernel: Kernel
) -> tuple[FloatArray, FloatArray, float]:
    """Return row means, column means and V of the kernel matrix between two sets."""
    n, m = len(x), len(y)
    rows, columns, squares = np.zeros(n), np.zeros(m), 0.0
    for i, part in blocks(x, block):
        for j, other in blocks(y, block):
            tile = kernel.between(part, other)
            rows[i] += tile.sum(axis=1)
            columns[j] += tile.sum(axis=0)
            squares += float(np.vdot(tile, tile))
    centred = squares - float(rows @ rows) / m - float(columns @ columns) / n
    centred += float(rows.sum()) ** 2 / (n * m)
    return rows / m, columns / n, max(centred / ((n - 1) * (m - 1)), 0.0)


def form(x: NDArray, u: FloatArray, y: NDArray, v: FloatArray, block: int, kernel: Kernel) -> float:
    """Return sum_ij u_i k(x_i, y_j) v_j for weights ``u`` ``(n,)`` and ``v`` ``(m,)``."""
    return sum(
        float(u[i] @ kernel.between(rows, columns) @ v[j])
        for i, rows in blocks(x, block)
        for j, columns in blocks(y, block)
    )


def _cubic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return k(x, y) = (x·y / d + 1)³ of rows: ``(n, m)``."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


CUBIC = Kernel(_cubic, lambda x: (np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** 3)
"""Kernel of KID."""


def blocks(x: NDArray, block: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yield parts of ``x`` in float64, each after its slice."""
    return ((where, as_rows(x[where])) for where in cuts(len(x), block))


KERNEL_ESTIMATOR = "kid/4 cubic kernel, U-statistic, Hoeffding standard error, skewed interval"
"""Version of the estimator, raised with every change that moves a value or an error."""

SMALLEST = 4
"""Fewest samples of a side: V takes out the means of rows, of columns and of everything."""

PAIRS = 2000
"""Number of samples of a side whose pairs estimate the skewness of the noise."""

LARGEST = 1e24
"""Largest magnitude of a feature: kernel values grow as its sixth power, and are squared."""


@dataclass(frozen=True, eq=False)
class KernelEstimate:
    """Kernel distance with its error.

    Attributes:
        value: unbiased; scatters around 0, so may be negative, where the distributions are equal.
        se: its standard error, first and second order; both sides are samples.
        low, high: ends of its 95 % interval, >= 0: not ``value`` ± 1.96 ``se``, which covers too
            rarely where the noise is skewed.
        influence: ``(n,)`` influence of each sample, mean 0, in the order of the samples. Its
            first-order variance alone, sd² / n, is twice ``se²`` where the distributions are equal,
            and ``se²`` far from there.
        reference_influence: ``(m,)`` influence of each reference sample.
    """

    value: float
    se: float
    low: float
    high: float
    influence: FloatArray
    reference_influence: FloatArray


def kid(features: ArrayLike, reference_features: ArrayLike, block: int = BLOCK) -> KernelEstimate:
    """Return the kernel distance between the distributions of two independent sets.

    Args:
        features: ``(n, d)`` of the generated samples, n >= 4, any real dtype; not copied as a
            whole.
        reference_features: ``(m, d)`` of samples of the truth, m >= 4.
        block: rows of a tile, >= 1. Changes memory and rounding only.

    Raises:
        ValueError: a side has fewer than four samples, dimensions differ, or a value is not finite
            or beyond ``LARGEST``.
    """
    x, y = np.asarray(features), np.asarray(reference_features)
    _check(x, y)
    return discrepancy(x, y, CUBIC, block)


def discrepancy(x: NDArray, y: NDArray, kernel: Kernel, block: int = BLOCK) -> KernelEstimate:
    """Return the squared maximum mean discrepancy of finite sets, n, m >= 4, with standard errors.

    The kernel is symmetric and conditionally positive definite.
    """
    n, m = len(x), len(y)
    rows_x, mean_x, v_x = within(x, block, kernel)
    rows_y, mean_y, v_y = within(y, block, kernel)
    cross_x, cross_y, v_xy = across(x, y, block, kernel)
    value = mean_x + mean_y - 2 * float(cross_x.mean())
    half_x, half_y = rows_x - cross_x, rows_y - cross_y
    # counts the noise of the means too
    noisy = 4 * (half_x.var(ddof=1) / n + half_y.var(ddof=1) / m)
    noise = sum(
        4 * (v * (size - 2) / (size - 1) ** 2 + v_xy / other) / size
        for v, size, other in ((v_x, n, m), (v_y, m, n))
    )
    second = 2 * v_x / (n * (n - 1)) + 2 * v_y / (m * (m - 1)) + 4 * v_xy / (n * m)
    # The true first order is a variance: an estimate below 0 says that it is small, not that the
    # error is.
    first = max(noisy - noise, 0.0)
    se = float(np.sqrt(second + first))
    u, v = _influence(half_x), _influence(half_y)
    noisy_se = float(np.sqrt(noisy))
    low, high = interval(value, noisy_se, _noise(second, noisy_se, (x, u), (y, v), kernel, block))
    return KernelEstimate(value, se, low, high, u, v)


Side = tuple[NDArray, FloatArray]
"""Features of one side, and their influences."""


def _noise(
    second: float, unit: float, side_x: Side, side_y: Side, kernel: Kernel, block: int
) -> Noise:
    """Return third moments of the influences ``u`` and ``v``, and E IF IF h."""
    if unit == 0:
        return Noise(second, 0.0, 0.0)
    (x, u), (y, v) = side_x, side_y
    n, m, u, v = len(x), len(y), u / unit, v / unit
    third = float(np.mean(u**3)) / n**2 + float(np.mean(v**3)) / m**2
    some, others = _spread(n), _spread(m)
    x, u, y, v = x[some], u[some], y[others], v[others]
    between = form(x, u, y, v, block, kernel) / (len(u) * len(v))
    cross = (
        2 * _pairs(x, u, kernel, block) / n**2
        + 2 * _pairs(y, v, kernel, block) / m**2
        - 4 * between / (n * m)
    )
    return Noise(second, third, cross / unit, unit)


def _spread(n: int) -> NDArray[np.int_]:
    return np.linspace(0, n - 1, min(n, PAIRS)).astype(int)


def _pairs(x: NDArray, u: FloatArray, kernel: Kernel, block: int) -> float:
    """Return the mean of u_i u_j k(x_i, x_j) over i ≠ j."""
    diagonal = np.concatenate([kernel.itself(rows) for _, rows in blocks(x, block)])
    pairs = form(x, u, x, u, block, kernel) - float(u**2 @ diagonal)
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
"""Number of samples of a side that are compared: the first ones."""


@metric("kid", version=8, needs={"features"}, quantities=(KID,))
def kernel_distance(cell: Context) -> Measured:
    """Return the KID to held-out features; empty for too few, or beyond the kernel's range."""
    x = cell.feature_rows[:MOST]
    y = cell.held_out(len(x))
    if min(len(x), len(y)) < SMALLEST or np.abs(x).max() > LARGEST:
        return Measured({})
    score = kid(x, y)
    columns = {"kid": score.value, "kid_se": score.se, "kid_low": score.low, "kid_high": score.high}
    return Measured(columns, {"kid": score.influence, "kid_reference": score.reference_influence})
