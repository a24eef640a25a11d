"""Gaussian model, with closed forms of denoiser, density, posterior and probability flow."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from ..denoiser import level_per_row
from .base import ExactModel, FloatArray, exact_fingerprint, row_stable_matmul, to_numpy


class Gaussian(ExactModel):
    """Gaussian distribution x0 ~ N(mean, Q diag(variances) Q^T).

    With c = Q^T (x - mean) and v the variances,

        d(x, sigma) = mean + Q [v / (v + sigma^2) c],
        x(b) = mean + Q [sqrt((v + b^2) / (v + a^2)) c]      along the probability flow from level a to level b.

    Args:
        name: name in tables.
        mean: ``(d,)``.
        basis: ``(d, d)`` orthogonal Q; its columns are the principal directions.
        variances: ``(d,)``, > 0.
    """

    closed_form = True

    def __init__(self, name: str, mean: Tensor, basis: Tensor, variances: Tensor) -> None:
        self.name = name
        self.event = (len(mean),)
        self.identity = exact_fingerprint(name, 1, mean, basis, variances)
        self.scale = float(variances.min().sqrt())
        self._mean, self._basis, self._variances = mean.double(), basis.double(), variances.double()

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return E[x0 | x] of rows by the formula in :class:`Gaussian`."""
        total = self._variances + sigma.square()[:, None]
        return self._scale_along_axes(x, self._variances / total)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return the log-density of rows under N(mean, cov + sigma^2 I), cov of :meth:`moments`."""
        total = self._variances + sigma.square()[:, None]
        c = row_stable_matmul(x - self._mean, self._basis)
        return -0.5 * (c.square() / total + total.log() + math.log(2 * math.pi)).sum(1)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` samples mean + Q [sqrt(v) z]."""
        mean, basis, std = to_numpy(self._mean, self._basis, self._variances.sqrt())
        return mean + (rng.standard_normal((n, self.dim)) * std) @ basis.T

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the mean ``(d,)`` and the covariance Q diag(variances) Q^T, ``(d, d)``."""
        cov = self._basis * self._variances @ self._basis.T
        return self._mean.cpu().numpy(), cov.cpu().numpy()

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return means ``(batch, d)`` and covariances Q diag(v sigma^2 / (v + sigma^2)) Q^T."""
        mean = self.evaluate_in_chunks(self.denoise_rows, x, sigma, None)
        square = level_per_row(sigma, x).square()[:, None]
        variances = self._variances * square / (self._variances + square)
        return mean, (self._basis * variances[:, None]) @ self._basis.T

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """Return the state at ``sigma_to`` by the formula in :class:`Gaussian`, up to rounding."""

        def flow_of_rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
            squares = (self._variances + sigma_to**2) / (self._variances + sigma.square()[:, None])
            return self._scale_along_axes(x, squares.sqrt())

        return self.map_states(flow_of_rows, x, sigma_from, labels)

    def _scale_along_axes(self, x: Tensor, factors: Tensor) -> Tensor:
        """Return the rows mean + Q [factors c], with c = Q^T (x - mean)."""
        return self._mean + row_stable_matmul(
            row_stable_matmul(x - self._mean, self._basis) * factors, self._basis.T
        )
