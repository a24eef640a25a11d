"""Whether samples pass for real: how many neighbourhoods of real samples they lie in, compared with
unseen real samples.

The neighbourhood of a real sample reaches to its third-nearest other real sample, as that of
precision does (arXiv:1904.06991). Precision asks whether a sample is in *some* neighbourhood, and
so takes a mean for data: in many dimensions data are farther from each other (by about a factor of
sqrt 2) than from their mean, which then is in the neighbourhood of nearly all of them. No datum is.
So a sample passes if it is in one neighbourhood at least, and in no more of them than :data:`USUAL`
of the unseen real samples are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samplerbench.benchmarks.metrics import neighbour_distances, square_distances

from ...arrays import FloatArray

MANIFOLD = 3
"""Neighbour at which the neighbourhood of a sample ends, as in the metric precision."""
USUAL = 0.975


class Neighbourhoods:
    """The neighbourhoods of real samples, and how many of them an unseen real sample lies in.

    Args:
        real: features ``(m, d)`` of real samples, m > 3.
        unseen: ``(k, d)`` of others, k > 0.

    Attributes:
        most: so many neighbourhoods are still usual.
        unseen: share of the unseen samples that pass.
        usual: in how many neighbourhoods they are, the median.

    Raises:
        ValueError: too few samples.
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
        """In how many neighbourhoods each of ``(n, d)`` lies, ``(n,)``."""
        return np.concatenate(
            [(square <= self._reach).sum(1) for _, square in square_distances(x, self._real)]
        )

    def passes(self, near: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether so many neighbourhoods are usual for real samples."""
        return (near > 0) & (near <= self.most)
