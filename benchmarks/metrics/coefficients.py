r"""Distance of each Haar coefficient's distribution in samples to its exact mixture of Gaussians.

For sorted values x_(1) <= … <= x_(n) and an exact distribution with quantile function Q,

    W_2² = sum_i ∫_{(i-1)/n}^{i/n} (x_(i) - Q(u))² du = mean x² - 2 sum_i x_(i) q_i + E X²,      q_i = ∫_{(i-1)/n}^{i/n} Q(u) du,

without an error of discretisation. For a mixture with weights w_k, means m_k and standard
deviations s_k, and with z = (Q(i/n) - m_k) / s_k,

    ∫_0^{i/n} Q(u) du = sum_k w_k [m_k Phi(z) - s_k phi(z)].

A distance between one-dimensional distributions needs no pairing of samples, so stochastic samplers
have one too. The number of samples needed does not grow with the number of dimensions. The distance
does not see dependence between coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...models.exact.wavelet import quantile_of_log_cdf
from ...results.quantities.built_in import COEFFICIENTS
from .estimators.rows import FloatArray, as_rows
from .metric import Context, Measured, metric


def coefficient_distances(
    x: ArrayLike, weights: FloatArray, means: FloatArray, stds: FloatArray
) -> FloatArray:
    """Return each coefficient's W_2² to its mixture of Gaussians divided by the mixture's variance.

    Args:
        x: coefficients ``(n, d)`` of n >= 1 samples.
        weights: weights ``(K, d)`` > 0 of each mixture's K Gaussians; each column sums to 1.
        means: means of the Gaussians, ``(K, d)``.
        stds: standard deviations of the Gaussians, ``(K, d)``, > 0.

    Returns:
        Ratios ``(d,)`` > 0, about 1 / n or more if the n samples are exact.

    Raises:
        ValueError: shapes do not fit, there is no sample, or a coefficient is not finite.
    """
    rows = as_rows(x)
    if len(rows) == 0 or any(
        part.shape != (len(weights), rows.shape[1]) for part in (weights, means, stds)
    ):
        raise ValueError(
            f"coefficients {rows.shape} need at least one sample, and "
            f"mixtures (K, {rows.shape[1]}), not {weights.shape}"
        )
    ordered = np.sort(rows, axis=0)
    # Most coefficients share one of a few mixtures, so each mixture is solved once.
    kinds, kind = np.unique(np.concatenate([weights, means, stds]), axis=1, return_inverse=True)
    w, m, s = np.split(kinds, 3)
    mean = (w * m).sum(axis=0)
    cells = quantile_cell_means(len(rows), w, m - mean, s)[:, kind.ravel()]
    variance = (w * (s**2 + (m - mean) ** 2)).sum(axis=0)[kind.ravel()]
    centred = ordered - mean[kind.ravel()]
    # sum_i [(x_i - q_i)² / n] with q_i the means of the cells, plus the variance of Q within cells
    between = np.square(centred - cells).mean(axis=0)
    within = np.maximum(variance - np.square(cells).mean(axis=0), 0.0)
    return (between + within) / variance


def quantile_cell_means(
    n: int, weights: FloatArray, means: FloatArray, stds: FloatArray
) -> FloatArray:
    """Return means ``(n, d)`` of d mixtures' quantile functions over n equal parts of (0, 1).

    Row i is the mean from i / n to (i + 1) / n. Weights, means and stds are ``(K, d)``.
    """
    from scipy.special import ndtr  # imported here, since a finished run does not need it

    w, m, s = (values[:, None] for values in (weights, means, stds))
    inner = np.arange(1, n)[:, None] / n * np.ones(weights.shape[1])
    # The logarithm of the nearer tail's probability keeps its digits.
    sign = np.where(inner <= 0.5, 1.0, -1.0)
    edges = sign * quantile_of_log_cdf(np.log(np.minimum(inner, 1 - inner)), np.log(w), sign * m, s)
    z = (edges - m) / s
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    below = (w * (m * ndtr(z) - s * density)).sum(axis=0)
    whole = (weights * means).sum(axis=0)
    return n * np.diff(np.concatenate([np.zeros((1, len(whole))), below, whole[None]]), axis=0)


MOST = 4_000
"""Largest number of samples whose coefficients are compared; the first samples are taken."""


@metric("coefficients", version=9, needs={"samples", "coefficients"}, quantities=(COEFFICIENTS,))
def measure_coefficient_distances(cell: Context) -> Measured:
    """Measure the root of the mean of :func:`coefficient_distances` over all coefficients.

    The floor is the value of as many exact samples. Without stored samples there is no result.
    """
    first = cell.known_rows[:MOST]
    if not len(first):
        return Measured({})
    floor = cell.once(
        ("w2 floor", len(first)), lambda: _rms_distance(cell, cell.exact_samples(len(first)))
    )
    return Measured({"w2_coefficients": _rms_distance(cell, first), "w2_coefficients_floor": floor})


def _rms_distance(cell: Context, x: NDArray | None) -> float:
    assert x is not None, "known distributions of coefficients are those of an exact model"
    distances = coefficient_distances(cell.coefficients(x), *cell.mixtures)
    return float(np.sqrt(distances.mean()))
