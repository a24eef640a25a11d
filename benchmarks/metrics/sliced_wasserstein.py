r"""Sliced Wasserstein distance: mean squared 2-Wasserstein distance of projections on lines.

    SWD = mean_l ∫_0^1 (F_l^{-1}(u) - G_l^{-1}(u))² du                    (Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3)

with F_l and G_l the distributions of features and reference features along the unit vector w_l. In
one dimension optimal transport matches quantiles, which sorting gives. Sets of n and m points are
compared exactly, on the at most n + m - 1 intervals where both quantile functions are constant. A
fixed seed draws the directions, so the distance is not random. The seed is part of the metric.

**Error.** The influence function of W_2² is its Kantorovich potential phi less the mean of phi.
Here phi'(x) = 2 (x - T(x)) with T = G^{-1} F (Santambrogio 2015, section 7.2.2). Between two
neighbours x_(i) and x_(i+1) the map T is constant, G^{-1}(i / n), so that

    phi(x_(i+1)) - phi(x_(i)) = x_(i+1)² - x_(i)² - 2 G^{-1}(i / n) (x_(i+1) - x_(i)).

The plug-in value is biased upwards by O(1/n) + O(1/m). Compare it with the value of two real sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.quantities.built_in import SWD
from .estimators.rows import FloatArray, as_comparable_rows
from .metric import Context, Measured, metric

PROJECTIONS = 128
SEED = 0


@dataclass(frozen=True, eq=False)
class SlicedWasserstein:
    """Sliced Wasserstein distance with its error.

    Attributes:
        value: plug-in squared distance, in squared feature units, >= 0.
        se: standard error of ``value`` to first order, for fixed directions and two random sets.
        influence: influence of each sample ``(n,)``, mean 0.
        reference_influence: influence of each reference sample ``(m,)``, mean 0.
    """

    value: float
    se: float
    influence: FloatArray
    reference_influence: FloatArray


def sliced_wasserstein(
    features: ArrayLike,
    reference_features: ArrayLike,
    projections: int = PROJECTIONS,
    seed: int = SEED,
) -> SlicedWasserstein:
    """Measure the sliced Wasserstein distance between two sets of features.

    Args:
        features: ``(n, d)``, n >= 2.
        reference_features: ``(m, d)``, m >= 2; n and m may differ.
        projections: number of directions, >= 1.
        seed: seed of the directions. Compare only distances with the same seed.

    Raises:
        ValueError: dimensions differ, a side has fewer than two samples, a value is not finite, or
            there is no direction.
    """
    x, y = as_comparable_rows(features, reference_features)
    if projections < 1:
        raise ValueError(f"{projections} projections give no distance: ask for at least one")
    if min(len(x), len(y)) < 2:
        raise ValueError(
            f"the sliced distance of {len(x)} and {len(y)} samples has no "
            "error: pass at least two of each"
        )
    along = directions(x.shape[1], projections, seed)
    px, py = x @ along, y @ along
    order_x, order_y = px.argsort(axis=0), py.argsort(axis=0)
    sx, sy = np.take_along_axis(px, order_x, 0), np.take_along_axis(py, order_y, 0)
    influence, other = _influence(sx, sy, order_x), _influence(sy, sx, order_y)
    se = np.sqrt(influence.var(ddof=1) / len(x) + other.var(ddof=1) / len(y))
    return SlicedWasserstein(float(squared_distances(sx, sy).mean()), float(se), influence, other)


def directions(d: int, projections: int = PROJECTIONS, seed: int = SEED) -> FloatArray:
    """Return random unit vectors as columns ``(d, projections)``, uniform on the sphere."""
    normal = np.random.default_rng(seed).standard_normal((d, projections))
    return normal / np.linalg.norm(normal, axis=0)


def squared_distances(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return squared 2-Wasserstein distances ``(l,)`` of sorted columns ``(n, l)``, ``(m, l)``."""
    of_x, of_y, width = _intervals(len(x), len(y))
    return width @ np.square(x[of_x] - y[of_y])


def _intervals(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Return (rows of x, rows of y, lengths) of intervals of (0, 1) with constant quantiles."""
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    start = edges[:-1]
    return start // m, start // n, np.diff(edges) / (n * m)


def _influence(x: FloatArray, y: FloatArray, order: NDArray[np.int64]) -> FloatArray:
    """Return influences ``(n,)`` in the order of samples; ``order`` has sorted ``x`` ``(n, l)``."""
    n, m = len(x), len(y)
    at = np.arange(1, n) * m
    target = (y[(at - 1) // n] + y[at // n]) / 2  # mid-jump if i / n is at a jump of G^{-1}
    steps = np.diff(x, axis=0) * (x[1:] + x[:-1] - 2 * target)
    potential = np.concatenate([np.zeros((1, x.shape[1])), steps.cumsum(axis=0)])
    potential -= potential.mean(axis=0)
    unsorted = np.empty_like(potential)
    np.put_along_axis(unsorted, order, potential, axis=0)
    return unsorted.mean(axis=1)


MOST = 10_000
"""Largest number of samples of a side that are compared; the first samples are taken."""


@metric("swd", version=8, needs={"features"}, quantities=(SWD,))
def measure_sliced_wasserstein(cell: Context) -> Measured:
    """Measure the SWD of features to as many held-out ones, and the SWD of two held-out sets."""
    x = cell.feature_rows[:MOST]
    n = len(x)
    y = cell.held_out(n)
    if min(n, len(y)) < 2:
        return Measured({})
    estimate = sliced_wasserstein(x, y)
    floor = cell.once(("swd floor", n), lambda: _floor(cell, n))
    return Measured({"swd": estimate.value, "swd_se": estimate.se, "swd_floor": floor})


def _floor(cell: Context, n: int) -> float | None:
    """Return the SWD between two sets of ``n`` held-out features; None if fewer than 2 n exist."""
    both = cell.held_out(2 * n)
    return sliced_wasserstein(both[n:], both[:n]).value if len(both) == 2 * n else None
