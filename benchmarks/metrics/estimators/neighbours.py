"""Squared distances to the nearest members of a set, for manifold and memorisation metrics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .rows import FloatArray

BLOCK = 1024
"""Rows of the distance matrix in memory at a time."""


def square_distances(
    x: FloatArray, y: FloatArray, block: int = BLOCK
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield rows of the ``(n, m)`` matrix |x_i - y_j|², as (slice of the rows, values).

    The values are |x|² - 2 x·y + |y|², with the mean of ``y`` subtracted from both sets. Values as
    small as the rounding error become 0, so that equal points have distance 0.
    """
    centre = y.mean(axis=0)
    y = y - centre
    norms = np.einsum("ij,ij->i", y, y)
    noise = 8 * np.finfo(np.float64).eps * np.sqrt(y.shape[1])
    for start in range(0, len(x), block):
        rows = x[start : start + block] - centre
        own = np.einsum("ij,ij->i", rows, rows)[:, None]
        square = rows @ y.T
        square *= -2
        square += own
        square += norms
        square[square <= noise * (own + norms.max(initial=0.0))] = 0.0
        yield slice(start, start + len(rows)), square


def neighbour_distances(
    x: FloatArray, y: FloatArray, k: int, *, same: bool = False, block: int = BLOCK
) -> FloatArray:
    """Return the squared distances ``(n, k)`` of each x_i to its k nearest in ``y``, ascending.

    ``same`` is True if ``x`` is ``y``: then a point is not its own neighbour, but an equal point
    is. The result does not depend on ``block``.

    Raises:
        ValueError: ``y`` has fewer than k neighbours of each point.
    """
    if len(y) - same < k:
        raise ValueError(
            f"a set of {len(y)} samples has no {k} neighbours of each: pass at least {k + same}"
        )
    distances = np.empty((len(x), k))
    for rows, square in square_distances(x, y, block):
        if same:
            square[np.arange(len(square)), np.arange(rows.start, rows.stop)] = np.inf
        distances[rows] = np.sort(np.partition(square, k - 1, axis=1)[:, :k], axis=1)
    return distances
