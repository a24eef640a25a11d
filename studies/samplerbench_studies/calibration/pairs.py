"""Pairs of simulated samplers at known distances from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import root_scalar

from samplerbench.benchmarks.metrics import FrechetReference, Moments, frechet_distance

from ..arrays import FloatArray
from .families import FAMILIES
from .law import FeatureMap, Law, Population

LEVELS = (0.0, 1.0, 10.0)
"""True FD of the first sampler, in floors."""

MARGIN = 0.1
"""By how much the second sampler is worse, as a share of the first one's FD or of the floor,
whichever is larger.
"""

PILOT = 40
"""Replicates that measure the floor."""


@dataclass(frozen=True, eq=False)
class SimulatedSampler:
    """Simulated sampler: stretches and shifts features of the data until their true FD is a given
    one.

    Attributes:
        move: what it makes of the features.
        fd: its true FD.
        kid: its true KID.
        quadratic: I - T of the influence function ``2 shift·c + c^T (I - T) c - its mean``, for c =
            x - E x.
        back: the same of the reference's samples, for a distance that takes both sides as samples.
        shift: E x minus the mean of the reference.
        law: of the features.
        truth: law of the reference.
    """

    move: FeatureMap
    fd: float
    kid: float
    quadratic: FloatArray
    back: FloatArray
    shift: FloatArray
    law: Law
    truth: Law

    def first_order(self, moments: Moments) -> float:
        """Return the mean of the true influence function over samples: FD's first-order noise, of
        mean 0.
        """
        return _mean_influence(self.quadratic, self.shift, self.law, moments)

    def first_order_of_reference(self, moments: Moments) -> float:
        """Return the mean influence over reference samples with these moments."""
        return _mean_influence(self.back, -self.shift, self.truth, moments)


@dataclass(frozen=True, eq=False)
class SamplerPairs:
    """A family of features in d dimensions, N samples, and at each level a pair of simulated
    samplers on shared latents.

    Attributes:
        population: of the features before the samplers, and the truth.
        reference: its exact moments.
        floor: mean plug-in FD of N samples of the truth itself.
        pairs: the two samplers at each level of ``LEVELS``.
    """

    population: Population
    reference: FrechetReference
    floor: float
    pairs: tuple[tuple[SimulatedSampler, SimulatedSampler], ...]

    @classmethod
    def make(cls, family: str, d: int, n: int) -> SamplerPairs:
        """Return the pairs of one cell, a function of the arguments alone."""
        population = FAMILIES[family](d)
        law = population.law
        reference = FrechetReference(law.mean, law.cov)
        rng = np.random.default_rng([4, d, n])
        floor = float(
            np.mean(
                [
                    frechet_distance(reference, Moments.of(population.draw(rng, n)))
                    for _ in range(PILOT)
                ]
            )
        )
        first, second = error_directions(law)
        pairs = []
        for level in LEVELS:
            fd = level * floor
            worse = fd + MARGIN * max(fd, floor)
            pairs.append(
                (
                    sampler_at_distance(law, reference, first, fd),
                    sampler_at_distance(law, reference, second, worse),
                )
            )
        return cls(population, reference, floor, tuple(pairs))


def error_directions(
    law: Law,
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Return for both samplers the rates of stretching and of shifting, ``(d,)``, which add alike
    to FD.

    The second shares four fifths of the first one's direction, as samplers of one kind do.
    """
    d = len(law.mean)
    rng = np.random.default_rng([5, d])
    signs = rng.choice((-1.0, 1.0), (2, d))
    moves = rng.standard_normal((2, d))
    moves *= np.sqrt(np.trace(law.cov)) / np.linalg.norm(moves, axis=1, keepdims=True)
    return (signs[0], moves[0]), (0.8 * signs[0] + 0.6 * signs[1], 0.8 * moves[0] + 0.6 * moves[1])


def sampler_at_distance(
    law: Law, reference: FrechetReference, direction: tuple[FloatArray, FloatArray], fd: float
) -> SimulatedSampler:
    """Return the sampler with errors in a direction whose true FD is ``fd``."""
    stretch, shift = direction

    def move(t: float) -> FeatureMap:
        return FeatureMap(law.mean, np.exp(t * stretch), t * shift)

    t = (
        root_scalar(
            lambda t: move(t).law(law).fd(reference) - fd, bracket=(0, 3), xtol=1e-13, rtol=1e-13
        ).root
        if fd
        else 0.0
    )
    moved = move(t).law(law)
    # exactly: intervals may end there
    distances = (moved.fd(reference), moved.kid(law)) if fd else (0.0, 0.0)
    there, back = (
        _quadratic_influence(reference, moved.cov),
        _quadratic_influence(FrechetReference(moved.mean, moved.cov), law.cov),
    )
    return SimulatedSampler(move(t), *distances, there, back, moved.mean - law.mean, moved, law)


def _mean_influence(quadratic: FloatArray, shift: FloatArray, law: Law, moments: Moments) -> float:
    c = moments.mean - law.mean
    spread = moments.m2 / moments.n + np.outer(c, c) - law.cov
    return float(2 * shift @ c + np.vdot(quadratic, spread))


def _quadratic_influence(reference: FrechetReference, cov: FloatArray) -> FloatArray:
    """Return I - T with T = R M^{-½} R^T and M = R^T cov R."""
    R = reference.factor
    values, Q = np.linalg.eigh(R.T @ cov @ R)
    half = R @ (Q / values**0.25)
    return np.eye(len(cov)) - half @ half.T
