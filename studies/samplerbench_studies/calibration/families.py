"""Distributions of features with exactly known moments.

They have light or heavy tails and one mode or several, are symmetric, skewed or sparse, or come
from a network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samplerbench.models import Reference, make_model
from samplerbench.models.extractors import Samples, make_extractor

from ..arrays import FloatArray
from .law import Law, Population

WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
"""Weights of the mixture's components."""


def gaussian(d: int) -> Population:
    """Return N(m, L^T L) with m of :func:`mean_vector` and L of :func:`mixing_matrix`."""
    mean, L = mean_vector(d), mixing_matrix(d)
    return Population(
        Law(mean, L.T @ L, np.zeros((d, d, d))),
        lambda rng, n: mean + rng.standard_normal((n, d)) @ L,
    )


def student(degrees: int) -> Callable[[int], Population]:
    """Return a factory of multivariate t laws with ``degrees`` > 4 degrees of freedom and the
    covariance of :func:`gaussian`.
    """

    def family(d: int) -> Population:
        normal = gaussian(d)

        def draw(rng: np.random.Generator, n: int) -> FloatArray:
            radius = np.sqrt((degrees - 2) / rng.chisquare(degrees, (n, 1)))
            return normal.law.mean + (normal.draw(rng, n) - normal.law.mean) * radius

        return Population(normal.law, draw)

    return family


def mixture(d: int) -> Population:
    """Return a mixture of four Gaussians with equal covariances and :data:`WEIGHTS`."""
    centres = (
        2 * np.random.default_rng([1, d]).standard_normal((len(WEIGHTS), d)) @ mixing_matrix(d)
    )
    return _gaussian_mixture(d, centres, WEIGHTS)


def rare(d: int) -> Population:
    """Return a Gaussian in which one of 200 samples is 12 standard deviations away on the widest
    axis.
    """
    return _gaussian_mixture(
        d, np.outer([0.0, 12.0], mixing_matrix(d)[0]), np.array([0.995, 0.005])
    )


def _gaussian_mixture(d: int, centres: FloatArray, weights: FloatArray) -> Population:
    """Return a mixture of Gaussians with relative centres ``(k, d)``, with the mean of
    :func:`gaussian`.

    Each component has the covariance of :func:`gaussian`. With v_k the centres about the mixture's
    mean, third moments are sum_k p_k v_k³.
    """
    normal = gaussian(d)
    v = centres - weights @ centres
    law = Law(
        normal.law.mean,
        normal.law.cov + (v.T * weights) @ v,
        np.einsum("k,ki,kj,kl->ijl", weights, v, v, v, optimize=True),
    )
    return Population(
        law, lambda rng, n: normal.draw(rng, n) + v[rng.choice(len(weights), size=n, p=weights)]
    )


def spiked(d: int) -> Population:
    """Return the law of :func:`gaussian` with its widest axis ten times as wide."""
    axes = standard_deviations(d)
    axes[0] *= 10
    mean, L = mean_vector(d), axes[:, None] * rotation_matrix(d)
    return Population(
        Law(mean, L.T @ L, np.zeros((d, d, d))),
        lambda rng, n: mean + rng.standard_normal((n, d)) @ L,
    )


def rectified(d: int) -> Population:
    """Return the sparse, skewed law of max(u, 0) for correlated Gaussians u of mean 0."""
    L = mixing_matrix(d)
    sd = np.linalg.norm(L, axis=0)
    mean = sd / np.sqrt(2 * np.pi)
    cov, third = rectified_moments(L.T @ L / np.outer(sd, sd))
    law = Law(mean, cov * np.outer(sd, sd), third * np.multiply.outer(np.outer(sd, sd), sd))
    return Population(law, lambda rng, n: np.maximum(rng.standard_normal((n, d)) @ L, 0))


def rectified_moments(correlation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return covariance and third central moments of max(u, 0), for normals u of variance 1.

    The second moments are the arc-cosine kernel, (sin θ + (π - θ) cos θ) / 2π with cos θ = ρ (Cho
    and Saul 2009, eq. 6). With max(u, 0) = (u + |u|) / 2 the third ones are (E|uvw| + E uv|w| + E
    uw|v| + E vw|u|) / 8, all odd terms being 0, where E uv|w| = √(2/π) (ρ_uv + ρ_uw ρ_vw) and

        E|uvw| = (2/π)^{3/2} [√det R + sum over pairs (ρ_uv + ρ_uw ρ_vw) arcsin ρ_uv·w]         (Nabeya 1952),

    ρ_uv·w being the partial correlation. Where two of the three are the same, E u₊² w₊ = (1 + ρ)² /
    √(8π).
    """
    rho = np.clip(correlation, -1, 1)
    np.fill_diagonal(rho, 1)
    theta = np.arccos(rho)
    second = (np.sin(theta) + (np.pi - theta) * rho) / (2 * np.pi)
    mean = 1 / np.sqrt(2 * np.pi)
    return second - mean**2, _third_moments_of_rectified(rho) - mean * _sum_over_index_pairs(
        second[:, :, None] + 0 * rho
    ) + 2 * mean**3


def _third_moments_of_rectified(rho: FloatArray) -> FloatArray:
    """Return E u₊ v₊ w₊ for all triples of axes, ``(d, d, d)``."""
    uv, uw, vw = rho[:, :, None], rho[:, None, :], rho[None, :, :]
    signed = uv + uw * vw
    with np.errstate(invalid="ignore", divide="ignore"):
        partial = (uv - uw * vw) / np.sqrt((1 - uw**2) * (1 - vw**2))
    angles = _sum_over_index_pairs(signed * np.arcsin(np.clip(partial, -1, 1)))
    root = np.sqrt(np.maximum(1 - uv**2 - uw**2 - vw**2 + 2 * uv * uw * vw, 0))
    third = (
        (2 / np.pi) ** 1.5 * (root + angles) + np.sqrt(2 / np.pi) * _sum_over_index_pairs(signed)
    ) / 8
    same, i = (1 + rho) ** 2 / np.sqrt(8 * np.pi), np.arange(len(rho))
    third[i, i, :] = third[i, :, i] = third[:, i, i] = same
    return third


def _sum_over_index_pairs(pairs: FloatArray) -> FloatArray:
    """Return the sum over the three pairs among (i, j, k).

    ``pairs`` is symmetric in its first two axes.
    """
    return pairs + pairs.transpose(0, 2, 1) + pairs.transpose(2, 1, 0)


def network(d: int) -> Population:
    """Return draws with replacement from the first d features of 10,000 Fashion-MNIST images."""
    model = make_model("fashion")
    samples = Samples(model.decoded_event, model.decoded_limits, model.reference())
    reduced = make_extractor(f"card:{d}", samples)
    assert isinstance(reduced, Reference)
    pool = reduced.held_out(10_000)
    c = pool - pool.mean(axis=0)
    third = np.stack([(c * column[:, None]).T @ c for column in c.T]) / len(c)
    law = Law(pool.mean(axis=0), c.T @ c / len(c), third)
    return Population(law, lambda rng, n: pool[rng.integers(len(pool), size=n)], reduced.identity)


def mean_vector(d: int) -> FloatArray:
    """Return a fixed random mean ``(d,)``, with elements of standard deviation 0.5."""
    return 0.5 * np.random.default_rng([2, d]).standard_normal(d)


def mixing_matrix(d: int) -> FloatArray:
    """Return L ``(d, d)``: standard deviations along the axes, then a rotation."""
    return standard_deviations(d)[:, None] * rotation_matrix(d)


def standard_deviations(d: int) -> FloatArray:
    """Return standard deviations ``(d,)`` along the axes, from 1 to 0.2."""
    return np.linspace(1, 0.2, d)


def rotation_matrix(d: int) -> FloatArray:
    """Return a fixed random orthogonal matrix ``(d, d)``."""
    return np.linalg.qr(np.random.default_rng([3, d]).standard_normal((d, d)))[0]


FAMILIES: dict[str, Callable[[int], Population]] = {
    "gaussian": gaussian,
    "mixture": mixture,
    "spiked": spiked,
    "rectified": rectified,
    "t8": student(8),
    "t5": student(5),
    "network": network,
    "rare": rare,
}
