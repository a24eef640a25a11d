"""Synthetic problems.

Their parameters are dyadic or decimal numbers, not results of a linear algebra library: the same
everywhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .gaussian import Gaussian
from .mixture import GaussianMixture


def gaussian() -> Gaussian:
    """``gaussian``: 16 dimensions, mean up to 1, variances over two decades (1 to 0.01),
    densely rotated.
    """
    d = 16
    mean = torch.tensor([(-1) ** i * (i + 1) / d for i in range(d)], dtype=torch.float64)
    variances = torch.tensor(
        [round(10 ** (-2 * i / (d - 1)), 6) for i in range(d)], dtype=torch.float64
    )
    return Gaussian("gaussian", mean, rotation(d, np.random.default_rng(16)), variances)


def gmm_2d() -> GaussianMixture:
    """``gmm-2d``: seven modes in about [-2, 2]^2, of unequal weight and elongated in different
    directions; for pictures and intuition.
    """
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
    """``gmm-64d``: nine components in 64 dimensions, each with four strong directions (standard
    deviations 1 to 1/8) over a thin rest.

    The means of six are about 7 apart, the standard deviation of the strongest direction being 1;
    the means of the other three are 1 away from one of these each, so that the pairs overlap.
    """
    d, rank = 64, 4
    rng = np.random.default_rng(64)
    far = torch.from_numpy(rng.integers(-8, 9, (6, d)) / 8.0)
    near = far[:3] + torch.from_numpy(rng.choice([-1.0, 1.0], (3, d)) / 8)
    strength = torch.tensor([1.0, 0.5, 0.25, 0.125], dtype=torch.float64)
    factors = torch.stack([rotation(d, rng)[:, :rank] * strength for _ in range(9)])
    weights = torch.tensor([8.0, 4.0, 4.0, 2.0, 2.0, 1.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    noise = torch.tensor([1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 1.0, 1.5, 2.0], dtype=torch.float64) / 16
    return GaussianMixture("gmm-64d", (d,), weights, torch.cat([far, near]), factors, noise)


def rotation(d: int, rng: np.random.Generator) -> Tensor:
    """Return a dense orthogonal ``(d, d)`` matrix, d a power of two: the product of three reflections I - 2 v
    v^T / d at sign vectors v.

    Its entries are multiples of (2 / d)^3, so it is exact in floating point.
    """
    matrix = torch.eye(d, dtype=torch.float64)
    for _ in range(3):
        v = torch.from_numpy(rng.choice([-1.0, 1.0], d))
        matrix = matrix - torch.outer(matrix @ v, v) * (2 / d)
    return matrix
