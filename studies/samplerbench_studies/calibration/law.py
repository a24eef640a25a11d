"""Distributions of features of which the first three moments are known exactly, and the distances
between them.
"""

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
    """Moments of a distribution up to the third, which determine its Fréchet and cubic kernel
    distance.

    Attributes:
        mean: ``(d,)``.
        cov: ``(d, d)``.
        third: ``(d, d, d)`` third central moments E c_i c_j c_k.
    """

    mean: FloatArray
    cov: FloatArray
    third: FloatArray

    @property
    def moments(self) -> Moments:
        """Moments whose ``mean`` and ``cov`` are these."""
        return Moments(2, self.mean, self.cov)

    def fd(self, reference: FrechetReference) -> float:
        """Return the exact squared Fréchet distance to a reference."""
        return frechet_distance(reference, self.moments)

    def raw_third(self) -> FloatArray:
        """Return ``(d, d, d)`` E x_i x_j x_k = E c_i c_j c_k + (m_i Sigma_jk, 3 ways) + m_i m_j
        m_k.
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
        """Return the exact squared MMD with the kernel (x·y / d + 1)³.

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
        draw: ``(rng, n)`` to n independent rows ``(n, d)`` float64.
        source: what pins it beside its family and its number of features: the features of a network
            are those of some weights.
    """

    law: Law
    draw: Draw
    source: str = ""


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Stretching of features about their mean, and a shift: the error of a simulated sampler.

    Attributes:
        centre: ``(d,)``, the mean before.
        scale: ``(d,)``, factors > 0.
        shift: ``(d,)``.
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
