"""Pairs of simulated samplers at known distances from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import root_scalar

from samplerbench.benchmarks.metrics import FrechetReference, Moments, frechet_distance

from ..arrays import FloatArray
from .families import FAMILIES
from .law import FeatureDistortion, Law, Population

LEVELS = (0.0, 1.0, 10.0)
"""True FD of the first sampler, in units of :attr:`SamplerPairs.floor`."""

MARGIN = 0.1
"""Excess of the second sampler's FD, relative to the larger of the first one's FD and the floor."""

PILOT = 40
"""Number of replicates that measure the floor."""


@dataclass(frozen=True, eq=False)
class SimulatedSampler:
    """Simulated sampler, which stretches and shifts features of the data to a given true FD.

    Attributes:
        move: map from features of the data to the sampler's features x.
        fd: true FD.
        kid: true KID.
        quadratic: matrix I - T of the influence function ``2 shift·c + c^T (I - T) c - its mean``,
            with c = x - E x.
        back: the same matrix for samples of the reference, where these replace exact moments.
        shift: E x minus the mean of the reference.
        law: moments of the sampler's features.
        truth: moments of the reference.
    """

    move: FeatureDistortion
    fd: float
    kid: float
    quadratic: FloatArray
    back: FloatArray
    shift: FloatArray
    law: Law
    truth: Law

    def first_order(self, moments: Moments) -> float:
        """Return FD's first-order noise, the mean of the true influence function over samples.

        ``moments`` are the moments of the samples. The expected value is 0.
        """
        return _mean_influence(self.quadratic, self.shift, self.law, moments)

    def first_order_of_reference(self, moments: Moments) -> float:
        """Return the mean influence over reference samples with these moments."""
        return _mean_influence(self.back, -self.shift, self.truth, moments)


@dataclass(frozen=True, eq=False)
class SamplerPairs:
    """Pairs of simulated samplers on shared latents, one at each level of :data:`LEVELS`.

    Attributes:
        population: population of true features, to which the samplers' maps are applied.
        reference: exact moments of the population.
        floor: mean plug-in FD of N samples of the population itself.
        pairs: the two samplers at each level of ``LEVELS``.
    """

    population: Population
    reference: FrechetReference
    floor: float
    pairs: tuple[tuple[SimulatedSampler, SimulatedSampler], ...]

    @classmethod
    def make(cls, family: str, d: int, n: int) -> SamplerPairs:
        """Return the pairs for a family of ``d`` features and ``n`` samples, always the same."""
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
    """Return rates of stretching and of shifting, ``(d,)`` each, for both samplers.

    Stretching and shifting add equally to FD. The second sampler shares four fifths of the first
    one's direction, as similar samplers do.
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
    """Return the sampler whose errors have a given direction and a true FD of ``fd``."""
    stretch, shift = direction

    def move(t: float) -> FeatureDistortion:
        return FeatureDistortion(law.mean, np.exp(t * stretch), t * shift)

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
