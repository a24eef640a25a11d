r"""Precision and recall, density and coverage: fidelity and diversity as separate numbers.

The ball of a real sample reaches its k-th nearest real neighbour. These balls are R, and their
union estimates the real manifold. The balls G of generated samples are made likewise.

    precision = share of generated samples in some ball of R,   recall = share of real samples in some ball of G,          k = 3
                                        (Kynkäänniemi et al. 2019, arXiv:1904.06991, eqs. 1 and 2)
    density   = (mean number of balls of R around a generated sample) / k,
    coverage  = share of balls of R that hold a generated sample,                                                        k = 5
                                        (Naeem et al. 2020, arXiv:2002.09797, eqs. 5 and 6)

All four depend on the numbers of samples n and m, since radii shrink as sets grow. Compare only
values from equal numbers. For two sets from one distribution the expected density is 1. Their
coverage is 1 - (m-1)…(m-k) / ((n+m-1)…(n+m-k)), which tends to 1 - 2^-k for n = m.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...results.quantities.built_in import MANIFOLDS
from .estimators.rows import FloatArray, as_comparable_rows
from .metric import Context, Measured, metric

MANIFOLD = 3
"""Number of neighbours k for precision and recall, as their authors chose."""
DENSITY = 5
"""Number of neighbours k for density and coverage, as their authors chose."""
BLOCK = 1024
"""Rows of the distance matrix in memory at a time."""
TIES = 1 + 1e-14
"""Factor of squared radii, so that samples at a radius, as of equal atoms, are inside the ball."""


class PrecisionRecall(NamedTuple):
    """Precision, recall and coverage in [0, 1], and density >= 0, which can exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(features: ArrayLike, reference_features: ArrayLike) -> PrecisionRecall:
    """Measure precision, recall, density and coverage of generated samples.

    Args:
        features: ``(n, d)`` of the generated samples, n > 3.
        reference_features: ``(m, d)`` of real samples, m > 5.

    Raises:
        ValueError: too few samples, dimensions differ, or a value is not finite.
    """
    x, y = as_comparable_rows(features, reference_features)
    if len(x) <= MANIFOLD or len(y) <= DENSITY:
        need = f"more than {MANIFOLD} samples and more than {DENSITY} real ones"
        raise ValueError(f"precision and recall need {need}, not {len(x)} and {len(y)}: pass more")
    own = neighbour_distances(y, y, DENSITY, same=True) * TIES
    near, wide = own[:, MANIFOLD - 1], own[:, DENSITY - 1]
    reach = neighbour_distances(x, x, MANIFOLD, same=True)[:, -1] * TIES
    precise, balls = 0, 0
    recalled, covered = np.zeros(len(y), bool), np.zeros(len(y), bool)
    for rows, square in square_distances(x, y):
        inside = square <= wide
        balls += int(inside.sum())
        covered |= inside.any(axis=0)
        precise += int((square <= near).any(axis=1).sum())
        recalled |= (square <= reach[rows, None]).any(axis=0)
    return PrecisionRecall(
        precise / len(x), float(recalled.mean()), balls / (DENSITY * len(x)), float(covered.mean())
    )


MOST = 5_000
"""Largest number of samples of a side that are compared; the first samples are taken."""


@metric("precision_recall", version=10, needs={"features"}, quantities=MANIFOLDS)
def measure_precision_recall(cell: Context) -> Measured:
    """Measure precision, recall, density and coverage of features against as many held-out ones.

    The first :data:`MOST` samples count. With too few samples of either set there is no result.
    """
    x = cell.feature_rows[:MOST]
    y = cell.held_out(len(x))
    enough = len(x) > MANIFOLD and len(y) > DENSITY
    return Measured(precision_recall(x, y)._asdict() if enough else {})


def square_distances(x: FloatArray, y: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield rows of the ``(n, m)`` matrix |x_i - y_j|², as (slice of the rows, values).

    The values are |x|² - 2 x·y + |y|², with a median of ``y`` subtracted from both sets. Values as
    small as their rounding error become 0, so that equal points have distance 0. A median and each
    pair's own error keep the other distances if a point is very far away.
    """
    centre = np.median(y[:BLOCK], axis=0)
    y = y - centre
    norms = np.einsum("ij,ij->i", y, y)
    noise = 8 * np.finfo(np.float64).eps * np.sqrt(y.shape[1])
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK] - centre
        own = np.einsum("ij,ij->i", rows, rows)[:, None]
        square = rows @ y.T
        square *= -2
        square += own
        square += norms
        square[square <= noise * (own + norms)] = 0.0
        yield slice(start, start + len(rows)), square


def neighbour_distances(x: FloatArray, y: FloatArray, k: int, *, same: bool = False) -> FloatArray:
    """Return the squared distances ``(n, k)`` of each x_i to its k nearest in ``y``, ascending.

    ``same`` is True if ``x`` is ``y``: then a point is not its own neighbour, but an equal point is.

    Raises:
        ValueError: ``y`` has fewer than k neighbours of each point.
    """
    if len(y) - same < k:
        raise ValueError(
            f"a set of {len(y)} samples has no {k} neighbours of each: pass at least {k + same}"
        )
    distances = np.empty((len(x), k))
    for rows, square in square_distances(x, y):
        if same:
            square[np.arange(len(square)), np.arange(rows.start, rows.stop)] = np.inf
        distances[rows] = np.sort(np.partition(square, k - 1, axis=1)[:, :k], axis=1)
    return distances
