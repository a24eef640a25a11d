"""``family:KIND``: a random exact problem of a kind, on demand rotated, scaled and shifted."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..exact.base import ExactModel, FloatArray, row_stable_matmul, to_numpy
from . import loader


@loader("family", usage="family:KIND")
def load(
    rest: str,
    dim: int = 8,
    std: float = 0.5,
    seed: int = 0,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    moved: int | None = None,
) -> ExactModel:
    """Return the exact problem ``rest``, such as ``family:curve(dim=3, std=0.1, seed=4)``.

    Args:
        rest: kind of the problem.
        dim: number of dimensions, >= 2; of a wavelet, the square of a power of two.
        std: standard deviation of the data, root mean square over the dimensions, > 0.
        seed: seed of the problem, >= 0.
        sigma_min: lowest noise level, > 0.
        sigma_max: highest noise level.
        moved: seed, >= 0, of a rotation, scale and shift of the data (:class:`MovedModel`).
            Noise levels are scaled by the same factor. None leaves the data unmoved.

    Raises:
        ValueError: there is no such kind, or a number is out of range.
    """
    from ..exact.problems import make_problem

    if moved is not None and (not isinstance(moved, int) or moved < 0):
        raise ValueError(f"moved is a seed, a whole number >= 0, not {moved!r}")
    problem = make_problem(rest, dim, std, seed, sigma_min, sigma_max)
    if moved is None:
        return problem
    return MovedModel(problem, moved)


class MovedModel(ExactModel):
    """Model of the data s R x0 + c, where ``inner`` is the exact model of x0.

    R is a random rotation of the flattened sample, s > 0 a scale and c a shift. With D the inner denoiser, the
    denoiser at y = s R x + c is D'(y, s sigma) = s R D(x, sigma) + c. Initial noise (:meth:`place_noise`) and paths
    of the flow are the inner ones, moved. Take a deterministic sampler whose states are weighted means of states and
    denoised images, at levels relative to the model's range. Up to rounding, its samples are the inner samples, moved.
    A sampler that recognises the inner problem by its values gives other samples.

    Args:
        inner: the model.
        seed: seed of rotation, scale (1/4 to 4, log-uniform) and shift (a normal vector times the
            scale and half of the data's standard deviation).
    """

    def __init__(self, inner: ExactModel, seed: int) -> None:
        rng = np.random.default_rng((seed, inner.dim))
        rotation = np.linalg.qr(rng.standard_normal((inner.dim, inner.dim)))[0]
        self.factor = float(4.0 ** rng.uniform(-1, 1))
        spread = math.sqrt(float(np.trace(inner.moments()[1])) / inner.dim)
        self.inner, self.seed, self.event = inner, seed, inner.event
        self._rotation = torch.from_numpy(np.ascontiguousarray(rotation))
        self._shift = torch.from_numpy(rng.standard_normal(inner.dim) * self.factor * spread / 2)
        self.name = f"{inner.name}(moved={seed})"
        self.identity = f"moved-v1-{seed}-{inner.identity}"
        self.sigma_min = inner.sigma_min * self.factor
        self.sigma_max = inner.sigma_max * self.factor
        self.scale, self.tolerance = inner.scale * self.factor, inner.tolerance
        self.closed_form = inner.closed_form

    def place_noise(self, z: Tensor) -> Tensor:
        """Return R z + c / sigma_max: the inner model's first state, moved, over ``sigma_max``."""

        def place_rows(z: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
            return row_stable_matmul(z, self._rotation.T) + self._shift / self.sigma_max

        return self.map_states(place_rows, z, self.sigma_max, None)

    def inner_states(self, y: Tensor) -> Tensor:
        """Return the states ``(n, d)`` of the inner model for moved states ``(n, d)``."""
        return row_stable_matmul((y - self._shift) / self.factor, self._rotation)

    def moved_states(self, x: Tensor) -> Tensor:
        """Return the moved states ``(n, d)`` for states ``(n, d)`` of the inner model."""
        return row_stable_matmul(x, self._rotation.T) * self.factor + self._shift

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return E[x0 | x] of rows: s R D + c, with D the inner denoised rows at sigma / s."""
        inner = self.inner.denoise_rows(self.inner_states(x), sigma / self.factor, labels)
        return self.moved_states(inner)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the log-density of rows: the inner one at level sigma / s, minus d log s."""
        inner = self.inner.log_density_rows(self.inner_states(x), sigma / self.factor, labels)
        return inner - self.dim * math.log(self.factor)

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """Return s R x' + c, with x' the inner states carried between the levels divided by s."""

        def move(to: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
            return self.map_states(lambda rows, *_: to(rows), x, sigma_from, None)

        # outside the chunks, whose copies of rows an observer would count
        levels = sigma_from / self.factor, sigma_to / self.factor
        states = self.inner.flow(move(self.inner_states, x.double()), *levels, labels)
        return move(self.moved_states, states).to(x.dtype)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` samples s R x0 + c, with x0 drawn by the inner model."""
        rotation, shift = to_numpy(self._rotation, self._shift)
        return self.inner.draw(n, rng) @ rotation.T * self.factor + shift

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return mean s R m + c and covariance s^2 R C R^T, from m and C of the inner model."""
        rotation, shift = to_numpy(self._rotation, self._shift)
        mean, cov = self.inner.moments()
        return (
            rotation @ mean * self.factor + shift,
            rotation @ cov @ rotation.T * self.factor**2,
        )

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean s R m + c and covariance s^2 R C R^T of x0, given m and C of the inner x0."""
        states = self.inner_states(x.flatten(1).double()).reshape(x.shape)
        mean, cov = self.inner.posterior(states, sigma / self.factor)
        moved = self.moved_states(mean.flatten(1)).reshape(mean.shape)
        return moved, self._rotation @ cov @ self._rotation.T * self.factor**2

    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return the modes of the inner model's states; None if the inner model has no modes."""
        return self.inner.mode_of(self.inner_states(x.flatten(1).double()).reshape(x.shape))
