"""Exact models of synthetic problems: random problems of seven kinds, and the built-in ones.

The built-in parameters are dyadic or decimal numbers, not results of a linear algebra library, so
they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .base import ExactModel, FloatArray
from .cloud import PointCloud
from .gaussian import Gaussian
from .mixture import GaussianMixture
from .wavelet import SPREAD, Wavelet, coefficient_mixtures

COMPONENTS = 300
"""Number of components of a mixture along a curve or a sheet."""
WIDTHS = 12
"""Number of components of a mixture that approximates a heavy-tailed distribution."""


def spectrum(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a Gaussian whose k-th variance falls as k^-a, with a between 1/2 and 2."""
    variances = np.arange(1, dim + 1.0) ** -rng.uniform(0.5, 2)
    variances *= std**2 / variances.mean()
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    zeros = torch.zeros(dim, dtype=torch.float64)
    return Gaussian("", zeros, _as_tensor(rotation), _as_tensor(variances))


def tails(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a mixture of Gaussians that approximates Student's t of 2.5 to 6 degrees of freedom."""
    from scipy.stats import invgamma  # imported here: few runs need it

    half = rng.uniform(2.5, 6) / 2
    widths = np.sqrt(invgamma.ppf((np.arange(WIDTHS) + 0.5) / WIDTHS, half, scale=half))
    widths *= std / np.sqrt(np.square(widths).mean())
    zeros = np.zeros((WIDTHS, dim, 1))
    return _mixture(np.ones(WIDTHS), zeros[..., 0], zeros, widths)


def curve(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a mixture along a closed curve of four random harmonics, 1 to 5 % of ``std`` thick."""
    angle = np.linspace(0, 2 * np.pi, COMPONENTS, endpoint=False)
    waves = [w for k in range(1, 5) for w in (np.cos(k * angle) / k, np.sin(k * angle) / k)]
    return _thin_mixture(np.stack(waves, 1) @ rng.standard_normal((len(waves), dim)), std, rng)


def sheet(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a mixture along a bent surface over a square, 1 to 5 % of ``std`` thick."""
    u, v = rng.uniform(-1, 1, (2, COMPONENTS))
    bent = np.stack([u, v, u * v, np.sin(2 * u + v), np.cos(3 * v)], 1)
    return _thin_mixture(bent @ rng.standard_normal((5, dim)), std, rng)


def modes(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a mixture of two to eleven elongated modes of different weights."""
    count, rank = int(rng.integers(2, 12)), min(dim, int(rng.integers(1, 5)))
    means, weights = rng.standard_normal((count, dim)), rng.uniform(0.2, 1, count)
    factors = np.stack(
        [
            np.linalg.qr(rng.standard_normal((dim, rank)))[0] * rng.uniform(0.1, 0.6, rank)
            for _ in range(count)
        ]
    )
    widths = rng.uniform(0.02, 0.2, count)
    share = weights / weights.sum()
    own = np.square(widths) + np.square(factors).sum((1, 2)) / dim
    unit = std / np.sqrt(share @ (np.square(means - share @ means).mean(1) + own))
    return _mixture(weights, means * unit, factors * unit, widths * unit)


def points(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a cloud of 10 to 120 normally distributed points."""
    return PointCloud("", _as_tensor(rng.standard_normal((int(rng.integers(10, 121)), dim)) * std))


def wavelet(dim: int, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a model of square images with random decay, tails and modes of Haar coefficients."""
    side = int(np.sqrt(dim))
    if side * side != dim or side & (side - 1):
        raise ValueError(f"a wavelet has 4, 16, 64, 256, … dimensions, not {dim}")
    weights, means, stds = coefficient_mixtures(
        side,
        decay=rng.uniform(0.5, 1.5),
        ratio=rng.uniform(2, 8),
        separation=rng.uniform(1, 6),
        narrow_share=rng.uniform(0.5, 0.9),
    )
    unit = std / np.sqrt(SPREAD)
    return Wavelet.of_mixtures((1, side, side), weights, means * unit, stds * unit)


KINDS: dict[str, Callable[[int, float, np.random.Generator], ExactModel]] = {
    kind.__name__: kind for kind in (spectrum, tails, curve, sheet, modes, points, wavelet)
}
"""Functions that make a problem, by kind. Append only: a kind's position is part of its seed."""


def make_problem(
    kind: str, dim: int, std: float, seed: int, sigma_min: float, sigma_max: float
) -> ExactModel:
    """Make an exact model of kind ``kind``, with parameters drawn by ``seed``.

    Args:
        kind: one of :data:`KINDS`.
        dim: number of dimensions, >= 2; for a wavelet, the square of a power of two.
        std: root mean square standard deviation of the dimensions, > 0; approximate in some kinds.
        seed: seed of the parameters, >= 0.
        sigma_min: lowest noise level, > 0.
        sigma_max: highest noise level.

    Raises:
        ValueError: the kind is unknown, or a number is out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r} of exact problem; choose {', '.join(KINDS)}")
    if dim < 2 or not std > 0 or seed < 0 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            "an exact problem needs dim >= 2, std > 0, seed >= 0 and 0 < sigma_min < sigma_max, got "
            f"{dim}, {std}, {seed}, {sigma_min} and {sigma_max}"
        )
    number = list(KINDS).index(kind)
    model = KINDS[kind](dim, std, np.random.default_rng((seed, number, dim)))
    model.name = f"family:{kind}"
    model.identity = f"family-{kind}{model.identity}"
    model.sigma_min, model.sigma_max = sigma_min, sigma_max
    return model


def _thin_mixture(middle: FloatArray, std: float, rng: np.random.Generator) -> ExactModel:
    """Make a mixture of equal small Gaussians at ``middle`` ``(K, d)``, scaled to ``std``."""
    middle = middle - middle.mean(0)
    middle *= std / np.sqrt(np.square(middle).mean())
    count, dim = middle.shape
    width = np.full(count, std * rng.uniform(0.01, 0.05))
    return _mixture(np.ones(count), middle, np.zeros((count, dim, 1)), width)


def _mixture(
    weights: FloatArray, means: FloatArray, factors: FloatArray, widths: FloatArray
) -> ExactModel:
    tensors = map(_as_tensor, (weights, means, factors, widths))
    return GaussianMixture("", (means.shape[1],), *tensors)


def _as_tensor(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def gaussian() -> ExactModel:
    """Return the model ``gaussian``: 16 rotated dimensions, variances from 1 down to 0.01."""
    d = 16
    mean = torch.tensor([(-1) ** i * (i + 1) / d for i in range(d)], dtype=torch.float64)
    variances = torch.tensor(
        [round(10 ** (-2 * i / (d - 1)), 6) for i in range(d)], dtype=torch.float64
    )
    return Gaussian("gaussian", mean, orthogonal_matrix(d, np.random.default_rng(16)), variances)


def gmm_2d() -> GaussianMixture:
    """Return the model ``gmm-2d``: seven modes in about [-2, 2]^2, unequal and mostly elongated."""
    modes = torch.tensor(
        [  # weight, mean, long axis (standard deviation along it), standard deviation across
            (0.24, -1.3, 1.1, 0.30, 0.20, 0.08),
            (0.20, 1.2, 1.2, 0.05, -0.35, 0.10),
            (0.16, 0.1, 0.1, 0.18, 0.18, 0.06),
            (0.14, -1.4, -0.9, 0.00, 0.40, 0.07),
            (0.12, 1.4, -0.5, 0.25, -0.10, 0.06),
            (0.09, 0.2, -1.4, 0.35, 0.05, 0.05),
            (0.05, -0.3, 1.7, 0.10, 0.05, 0.05),
        ],
        dtype=torch.float64,
    )
    weights, means, axes, noise = modes[:, 0], modes[:, 1:3], modes[:, 3:5, None], modes[:, 5]
    return GaussianMixture("gmm-2d", (2,), weights, means, axes, noise)


def gmm_64d() -> GaussianMixture:
    """Return the model ``gmm-64d``: nine components in 64 dimensions.

    Each is wide in four directions and thin in the others. Six means are about 7 apart. Each of the
    other three is at a distance of 1 from one of the six, so that the pairs overlap.
    """
    d, rank = 64, 4
    rng = np.random.default_rng(64)
    far = torch.from_numpy(rng.integers(-8, 9, (6, d)) / 8.0)
    near = far[:3] + torch.from_numpy(rng.choice([-1.0, 1.0], (3, d)) / 8)
    strength = torch.tensor([1.0, 0.5, 0.25, 0.125], dtype=torch.float64)
    factors = torch.stack([orthogonal_matrix(d, rng)[:, :rank] * strength for _ in range(9)])
    weights = torch.tensor([8.0, 4.0, 4.0, 2.0, 2.0, 1.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    noise = torch.tensor([1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 1.0, 1.5, 2.0], dtype=torch.float64) / 16
    return GaussianMixture("gmm-64d", (d,), weights, torch.cat([far, near]), factors, noise)


def orthogonal_matrix(d: int, rng: np.random.Generator) -> Tensor:
    """Return a dense orthogonal ``(d, d)`` matrix, for d a power of two.

    It is the product of three reflections I - 2 v v^T / d at sign vectors v. Its entries are
    multiples of (2 / d)^3, so it is exact in floating point.
    """
    matrix = torch.eye(d, dtype=torch.float64)
    for _ in range(3):
        v = torch.from_numpy(rng.choice([-1.0, 1.0], d))
        matrix = matrix - torch.outer(matrix @ v, v) * (2 / d)
    return matrix
