"""Distributions of features with exactly known first three moments, and distances between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samplerbench.benchmarks.metrics import FrechetReference, Moments, frechet_distance

from ..arrays import FloatArray

Draw = Callable[[np.random.Generator, int], FloatArray]


@dataclass(frozen=True, eq=False)
class Law:
    """First three moments of a distribution, which determine its Fréchet and cubic kernel
    distances.

    Attributes:
        mean: mean ``(d,)``.
        cov: covariance ``(d, d)``.
        third: ``(d, d, d)`` third central moments E c_i c_j c_k.
    """

    mean: FloatArray
    cov: FloatArray
    third: FloatArray

    @property
    def moments(self) -> Moments:
        """Mean and covariance as :class:`~samplerbench.benchmarks.metrics.Moments`."""
        return Moments(2, self.mean, self.cov)

    def fd(self, reference: FrechetReference) -> float:
        """Return the exact squared Fréchet distance to a reference."""
        return frechet_distance(reference, self.moments)

    def raw_third(self) -> FloatArray:
        """Return raw third moments E x_i x_j x_k, ``(d, d, d)``.

        They are E c_i c_j c_k + (m_i Sigma_jk, in 3 ways) + m_i m_j m_k.
        """
        m, with_mean = self.mean, np.multiply.outer(self.mean, self.cov)
        cube = np.multiply.outer(np.outer(m, m), m)
        return (
            self.third
            + with_mean
            + with_mean.transpose(1, 0, 2)
            + with_mean.transpose(1, 2, 0)
            + cube
        )

    def kid(self, other: Law) -> float:
        """Return the exact squared MMD to another law, with the kernel (x·y / d + 1)³.

        E (x·y)^k is the inner product of the k-th raw moments of x and y, so that with differences
        D_k of the raw moments of the two laws

            MMD² = 3 |D_1|² / d + 3 |D_2|² / d² + |D_3|² / d³.
        """
        d = len(self.mean)
        second = (
            self.cov + np.outer(self.mean, self.mean) - other.cov - np.outer(other.mean, other.mean)
        )
        differences = (self.mean - other.mean, second, self.raw_third() - other.raw_third())
        return float(
            sum(
                math.comb(3, k) * np.square(D).sum() / d**k
                for k, D in enumerate(differences, start=1)
            )
        )


@dataclass(frozen=True, eq=False)
class Population:
    """A distribution that can be sampled.

    Attributes:
        law: its exact moments.
        draw: function ``(rng, n)`` to n independent rows ``(n, d)`` float64.
        source: text that identifies the population beyond family and dimension, such as the weights
            of the network that computed the features.
    """

    law: Law
    draw: Draw
    source: str = ""


@dataclass(frozen=True, eq=False)
class FeatureDistortion:
    """Error of a simulated sampler: features are stretched about their mean, and shifted.

    Attributes:
        centre: mean ``(d,)`` of the features before the map.
        scale: factors ``(d,)`` > 0.
        shift: shift ``(d,)``.
    """

    centre: FloatArray
    scale: FloatArray
    shift: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return rows ``(n, d)``, stretched and shifted."""
        return x * self.scale + (self.centre * (1 - self.scale) + self.shift)

    def law(self, law: Law) -> Law:
        """Return the moments of the mapped features from ``law``, the moments before the map."""
        a = self.scale
        return Law(
            self(law.mean),
            law.cov * np.outer(a, a),
            law.third * np.multiply.outer(np.outer(a, a), a),
        )
