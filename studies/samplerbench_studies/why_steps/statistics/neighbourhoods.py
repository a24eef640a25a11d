"""Test whether samples pass for real, by the number of real samples' neighbourhoods around them.

The neighbourhood of a real sample reaches to its third-nearest other real sample, as in the metric
precision (arXiv:1904.06991). Precision tests if a sample is in *some* neighbourhood, so a mean
counts as real: in many dimensions, data are farther from each other (by about a factor of sqrt 2)
than from their mean, which is then in nearly all neighbourhoods. No real sample is. So a sample
passes if it is in at least one neighbourhood, and in no more than the quantile :data:`USUAL` of the
numbers for unseen real samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerbench.benchmarks.metrics import neighbour_distances, square_distances

from ...arrays import FloatArray

MANIFOLD = 3
"""Rank of the neighbour at which a neighbourhood ends, as in the metric precision."""
USUAL = 0.975


class Neighbourhoods:
    """Neighbourhoods of real samples, and the usual numbers that contain an unseen real sample.

    Args:
        real: features ``(m, d)`` of real samples, m > 3.
        unseen: features ``(k, d)`` of other real samples, k > 0.

    Attributes:
        most: quantile :data:`USUAL` of the numbers of neighbourhoods that contain an unseen sample.
        unseen: share of the unseen samples that pass.
        usual: median of these numbers.

    Raises:
        ValueError: there are too few samples.
    """

    def __init__(self, real: FloatArray, unseen: FloatArray) -> None:
        if not len(unseen):
            raise ValueError(
                "the model has no second half of held-out samples to say "
                "what is usual; take one that has"
            )
        self._real = real
        self._reach = neighbour_distances(real, real, MANIFOLD, same=True)[:, -1]
        found = self.near(unseen)
        self.most = float(np.quantile(found, USUAL))
        self.unseen, self.usual = float(self.passes(found).mean()), float(np.median(found))

    def near(self, x: FloatArray) -> NDArray[np.int64]:
        """Return the number of neighbourhoods that contain each row of ``(n, d)``, ``(n,)``."""
        return np.concatenate(
            [(square <= self._reach).sum(1) for _, square in square_distances(x, self._real)]
        )

    def passes(self, near: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return True for each number of neighbourhoods from 1 to :attr:`most`."""
        return (near > 0) & (near <= self.most)
