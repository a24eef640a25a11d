"""Mean and covariance of features, accumulated in parts that can be merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LARGEST = 1e70
"""Largest magnitude that is measured: the variance of a squared distance takes fourth powers, and
float64 ends at 1.8e308.
"""


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of a set of features: all that a Fréchet distance needs of it.

    Attributes:
        n: number of samples, at least 1.
        mean: ``(d,)`` float64.
        m2: ``(d, d)`` float64 scatter about the mean, sum_i (x_i - mean)(x_i - mean)^T.
    """

    n: int
    mean: FloatArray
    m2: FloatArray

    @classmethod
    def of(cls, features: ArrayLike) -> Moments:
        """Return the moments of ``features`` ``(n, ...)`` (any real dtype; flattened to ``(n,
        d)``), in two passes: exact even far from the origin.

        Raises:
            ValueError: there is no sample, or :func:`as_rows` refuses them.
        """
        rows = as_rows(features)
        if len(rows) == 0:
            raise ValueError("moments of no samples are undefined: pass at least one")
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of the union of two disjoint sets.

        With b - a the difference of the means, M2 = M2_a + M2_b + (n_a n_b / n) (b - a)(b - a)^T
        (Chan, Golub and LeVeque 1979, eq. 1.5, for vectors). An identity of the algebra: in which
        order parts are merged changes the rounding only.

        Raises:
            ValueError: the two have different dimensions.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"moments of {len(self.mean)} and of {len(other.mean)} "
                "features do not merge: use one extractor"
            )
        n = self.n + other.n
        step = other.mean - self.mean
        m2 = self.m2 + other.m2 + (self.n * other.n / n) * np.outer(step, step)
        return Moments(n, self.mean + step * (other.n / n), m2)

    @property
    def cov(self) -> FloatArray:
        """Unbiased covariance M2 / (n - 1), ``(d, d)``.

        Raises:
            ValueError: there is only one sample.
        """
        if self.n < 2:
            raise ValueError("the covariance of one sample is undefined: generate at least two")
        return self.m2 / (self.n - 1)

    def as_dict(self) -> dict[str, NDArray]:
        """Return plain arrays ``n``, ``mean`` and ``m2``, ready for ``numpy.savez``."""
        return {"n": np.asarray(self.n, dtype=np.int64), "mean": self.mean, "m2": self.m2}

    @classmethod
    def from_dict(cls, arrays: Mapping[str, NDArray]) -> Moments:
        """Read the arrays of :meth:`as_dict`, also from an open ``.npz``."""
        return cls(
            int(arrays["n"]),
            np.asarray(arrays["mean"], np.float64),
            np.asarray(arrays["m2"], np.float64),
        )


def as_rows(samples: ArrayLike) -> FloatArray:
    """Return samples ``(n, ...)`` as a float64 matrix ``(n, d)``; no copy if they are one already.

    Raises:
        ValueError: a value is NaN, infinite or beyond ``LARGEST``: that sample diverged, and no
            average over it means anything.
    """
    rows = np.asarray(samples, dtype=np.float64)
    if rows.ndim < 2:
        raise ValueError(f"samples must be (n, features), not of shape {rows.shape}")
    rows = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
    # The extremes, not isfinite: no temporary of the samples' size, and NaN fails both comparisons.
    if rows.size and not (rows.max() <= LARGEST and rows.min() >= -LARGEST):
        bad = int((~(np.abs(rows) <= LARGEST)).any(axis=1).sum())
        raise ValueError(
            f"{bad} of {len(rows)} samples are not finite (or beyond "
            f"{LARGEST:g}): mark them as diverged before measuring"
        )
    return rows
