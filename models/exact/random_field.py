"""Smooth random vector field of state and noise level, which serves as a model error."""

from __future__ import annotations

import copy
import math
from typing import Self

import numpy as np
import torch
from torch import Tensor

from .base import CHUNK, filled, product

FEATURES = 64


class RandomField:
    """Random Fourier features (Rahimi and Recht, NIPS 2007), of mean square 1 in each dimension
    over their random phases.

        f_i = sqrt(2 / M) sum_m A_mi cos(w_m · x / r + v_m log r + phi_m),     r = sqrt(sigma^2 + spread^2)

    with signs A, w ~ N(0, I / (d length^2)), v ~ N(0, 1) and uniform phases phi. Its correlation
    between x and x' is about exp(-|x - x'|^2 / (2 d (length r)^2)): ``length`` is in units of the
    noisy data's own standard deviation. |f_i| <= sqrt(2 M).

    Args:
        dim: number of dimensions d.
        spread: standard deviation of the data per dimension, > 0.
        length: correlation length, > 0.
        seed: of all random numbers, >= 0.
    """

    def __init__(self, dim: int, spread: float, length: float, seed: int) -> None:
        rng = np.random.default_rng((seed, dim))
        self.spread = spread
        self._waves = torch.from_numpy(
            rng.standard_normal((dim, FEATURES)) / (math.sqrt(dim) * length)
        )
        self._clock = torch.from_numpy(rng.standard_normal(FEATURES))
        self._phase = torch.from_numpy(rng.uniform(0, 2 * math.pi, FEATURES))
        self._signs = torch.from_numpy(
            rng.choice([-1.0, 1.0], (FEATURES, dim)) * math.sqrt(2 / FEATURES)
        )

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the field at rows ``x`` ``(n, d)`` float64 and levels ``sigma`` ``(n,)``.

        A row's bits do not depend on the others.
        """
        if not len(x):
            return torch.zeros_like(x)
        parts = [
            self._rows(filled(rows), filled(level))
            for rows, level in zip(x.split(CHUNK), sigma.split(CHUNK), strict=True)
        ]
        return torch.cat(parts)[: len(x)]

    def _rows(self, x: Tensor, sigma: Tensor) -> Tensor:
        r = torch.sqrt(sigma * sigma + self.spread**2)[:, None]
        return product(
            torch.cos(product(x / r, self._waves) + self._clock * r.log() + self._phase),
            self._signs,
        )

    def to(self, device: torch.device | str) -> Self:
        """Return a copy of this field with its tensors on ``device``."""
        twin = copy.copy(self)
        vars(twin).update(
            {
                key: value.to(device)
                for key, value in vars(self).items()
                if isinstance(value, Tensor)
            }
        )
        return twin
