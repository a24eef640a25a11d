"""Problems with exact flows for measuring orders, and a denoiser that records its calls.

All problems are in float64, and smooth at the levels in INTERIOR. They are fast for a few points,
since a check evaluates them some ten thousand times a second.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ...samplers import Denoise, Grid, Noise, NoNoise, SampleNoise, Sampler, karras, uniform_lambda

SEED = 2024


def noise_and_latents(
    sampler: Sampler, ids: Tensor, event: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> tuple[Noise, Tensor]:
    """Return the noise source and the standard normal latents of samples ``ids``.

    For a deterministic sampler the noise source raises if it is used.
    """
    source = SampleNoise(SEED, ids, event, dtype)
    return (source if sampler.stochastic else NoNoise()), source.initial()


def draw_samples(
    sampler: Sampler,
    denoise: Any,
    grid: Grid,
    ids: Tensor,
    dim: int = 3,
    shift: float | Tensor = 0.0,
) -> Tensor:
    """Return samples ``(n, dim)`` with the numbers ``ids``; ``shift`` is added to start states."""
    noise, latents = noise_and_latents(sampler, ids, (dim,))
    return sampler.sample(denoise, latents * grid.sigma[0] + shift, grid, noise)


def is_identical(a: Tensor, b: Tensor) -> bool:
    """Return True if two tensors have equal shapes and values; NaN equals NaN."""
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


def is_single(x: Tensor) -> bool:
    """Return True if ``x`` has no digits that float32 lacks."""
    return bool((x == x.float()).all())


@dataclass(frozen=True)
class RecordingDenoiser:
    """Denoiser that records the calls of ``inner``.

    ``levels`` has all levels, ``outputs`` pairs of an output and its immediate copy.
    """

    inner: Denoise
    levels: list[float] = field(default_factory=list)
    outputs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """Number of rows of all calls."""
        return sum(len(output) for output, _ in self.outputs)

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the inner denoiser's output, and record the call."""
        self.levels.extend(torch.as_tensor(sigma, dtype=torch.float64).reshape(-1).tolist())
        output = self.inner(x, sigma)
        self.outputs.append((output, output.clone()))
        return output

    def take(self, rows: Tensor) -> RecordingDenoiser:
        """Return a recorder for these rows of the batch, with the same record."""
        return RecordingDenoiser(self.inner.take(rows), self.levels, self.outputs)


INTERIOR = (0.15, 3.0)
"""Lowest and highest level for measuring orders; near 0, the order of every method drops to one."""
POINTS = 10
GRIDS: dict[str, Callable[[int], Grid]] = {
    "uniform_lambda": cache(lambda n: uniform_lambda(n, *INTERIOR, to_zero=False)),
    "karras": cache(lambda n: karras(n, *INTERIOR, to_zero=False)),
}


@cache
def uneven_grid(n: int) -> Grid:
    """Return a grid of ``n`` (even) steps on INTERIOR; steps alternate as 1 to 2 in ln sigma."""
    low, high = INTERIOR
    lengths = [1.0 + i % 2 for i in range(n)]
    done = [sum(lengths[: i + 1]) / sum(lengths) for i in range(n - 1)]
    return Grid((high, *(high * (low / high) ** u for u in done), low))


def _float64_tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class ExactProblem(ABC):
    """Denoiser with a known flow; ``start`` ``(points, d)`` are states at the highest level."""

    name: ClassVar[str]

    def __init__(self, start: Tensor) -> None:
        self.start = start
        self._truths = {INTERIOR[1]: start}

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return E[x0 | x] for ``x`` ``(batch, d)`` at one level, or at a level for each row."""
        if not isinstance(sigma, Tensor) or sigma.ndim == 0:
            return self.denoise_at(x, float(sigma))
        d = torch.empty_like(x)
        levels, counts = sigma.unique_consecutive(return_counts=True)
        sizes = counts.tolist()
        for level, rows, out in zip(levels.tolist(), x.split(sizes), d.split(sizes), strict=True):
            out.copy_(self.denoise_at(rows, level))
        return d

    @abstractmethod
    def denoise_at(self, x: Tensor, sigma: float) -> Tensor:
        """Return E[x0 | x] for ``x`` ``(batch, d)`` at one level."""

    @abstractmethod
    def flow(self, levels: list[float]) -> list[Tensor]:
        """Return the states that the flow takes ``start`` to at each of the falling ``levels``."""

    def take(self, rows: Tensor) -> Self:  # noqa: ARG002 - no row depends on its sample's number
        """Return the same denoiser for any rows."""
        return self

    def truth(self, sigma: float) -> Tensor:
        """Return the state at ``sigma`` of the flow that begins in ``start``, to about 1e-12.

        The result is cached, so do not modify it.
        """
        self.prepare([sigma])
        return self._truths[sigma]

    def prepare(self, levels: Iterable[float]) -> None:
        """Compute the results of :meth:`truth` at many levels in one pass, and cache them."""
        missing = sorted(set(levels) - self._truths.keys(), reverse=True)
        if missing:
            self._truths |= zip(missing, self.flow(missing), strict=True)


class AnisotropicGaussian(ExactProblem):
    """Exact denoiser of data N(m, Q diag(v) Q^T) in 3 D.

    The flow from level a to level b takes x to m + Q [sqrt((v + b^2) / (v + a^2)) Q^T (x - m)].
    """

    name = "gaussian"

    def __init__(self, shift: float = 0.0) -> None:
        self.mean = _float64_tensor(0.5, -0.25, 1.0) + shift
        self.variances = _float64_tensor(1.0, 0.25, 0.09)
        v = _float64_tensor(1.0, 2.0, -2.0)
        self.basis = torch.eye(3, dtype=torch.float64) - 2 * torch.outer(v, v) / 9  # a reflection
        self.covariance = self.basis @ self.variances.diag() @ self.basis
        noise = torch.from_numpy(np.random.default_rng(3).standard_normal((POINTS, 3)))
        self._gain = lru_cache(1 << 14)(self._gain_at)
        super().__init__(
            self.mean + noise * (self.variances + INTERIOR[1] ** 2).sqrt() @ self.basis
        )

    def denoise_at(self, x: Tensor, sigma: float) -> Tensor:
        """Return E[x0 | x]: ``x`` shrunk towards the mean along the principal axes."""
        gain, offset = self._gain(sigma)
        if x.dtype == offset.dtype:
            return torch.addmm(offset, x, gain)
        return (x.double() @ gain + offset).to(x.dtype)

    def _gain_at(self, sigma: float) -> tuple[Tensor, Tensor]:
        gain = self.basis * (self.variances / (self.variances + sigma**2)) @ self.basis
        return gain, self.mean - self.mean @ gain

    def flow(self, levels: list[float]) -> list[Tensor]:
        """Return the states of the flow from ``start`` at each level, in closed form."""
        first = self.variances + INTERIOR[1] ** 2
        coords = (self.start - self.mean) @ self.basis
        return [
            self.mean + coords * ((self.variances + sigma**2) / first).sqrt() @ self.basis
            for sigma in levels
        ]


class GaussianMap(AnisotropicGaussian):
    """Exact few-step map of the Gaussian: it follows the flow from any level to INTERIOR[0]."""

    name = "gaussian map"

    def _gain_at(self, sigma: float) -> tuple[Tensor, Tensor]:
        ratio = (self.variances + INTERIOR[0] ** 2) / (self.variances + sigma**2)
        gain = self.basis * ratio.sqrt() @ self.basis
        return gain, self.mean - self.mean @ gain


class ThreeModes(ExactProblem):
    """Exact nonlinear denoiser of data sum_k w_k N(mu_k, v_k I) in 2 D, with a numerical flow."""

    name = "mixture"
    weights, variances = _float64_tensor(0.5, 0.3, 0.2), _float64_tensor(0.25, 0.16, 0.36)
    means = _float64_tensor([1.0, 0.5], [-1.0, 0.75], [0.0, -1.25])

    def __init__(self) -> None:
        rng = np.random.default_rng(2)
        modes = torch.from_numpy(rng.choice(3, size=POINTS, p=self.weights.numpy()))
        noise = torch.from_numpy(rng.standard_normal((POINTS, 2)))
        self._norms = self.means.square().sum(1)
        self._parts = lru_cache(1 << 14)(self._parts_at)
        super().__init__(
            self.means[modes] + noise * (self.variances[modes, None] + INTERIOR[1] ** 2).sqrt()
        )

    def denoise_at(self, x: Tensor, sigma: float) -> Tensor:
        """Return sum_k P(k | x) [g_k x + (1 - g_k) mu_k] with g_k = v_k / (v_k + sigma^2)."""
        constant, linear, quadratic, gain, pull = self._parts(sigma)
        state = x.double()
        logits = torch.addmm(constant, state, linear).addmm_(state.square(), quadratic)
        chosen = logits.softmax(1)
        d = torch.addcmul(chosen @ pull, chosen @ gain, state)
        return d if d.dtype == x.dtype else d.to(x.dtype)

    def _parts_at(self, sigma: float) -> tuple[Tensor, ...]:
        """Return five tensors over the modes k, which :meth:`denoise_at` uses at level ``sigma``.

        Three are the coefficients of 1, x and x² in log(w_k N(x; mu_k, v_k + sigma^2)), up to a
        constant. The others are g_k = v_k / (v_k + sigma^2) and (1 - g_k) mu_k.
        """
        total = self.variances + sigma**2
        constant = self.weights.log() - total.log() - self._norms / (2 * total)
        gain = (self.variances / total)[:, None]
        return (
            constant,
            (self.means / total[:, None]).T.contiguous(),
            (-0.5 / total).repeat(2, 1),
            gain,
            (1 - gain) * self.means,
        )

    def flow(self, levels: list[float]) -> list[Tensor]:
        """Return the states of the flow from ``start`` at each level, by DOP853 in -ln sigma."""
        from scipy.integrate import solve_ivp

        def slope(lam: float, y: np.ndarray) -> np.ndarray:
            state = torch.from_numpy(y).reshape(-1, 2)
            return (self(state, math.exp(-lam)) - state).numpy().ravel()

        lams = [-math.log(s) for s in levels]
        span = (-math.log(INTERIOR[1]), lams[-1])
        # Small steps, since the interpolant between them has a lower order than the method.
        how: dict[str, Any] = {"method": "DOP853", "rtol": 1e-13, "atol": 1e-14, "max_step": 0.05}
        path = solve_ivp(slope, span, self.start.numpy().ravel(), t_eval=lams, **how)
        return [torch.from_numpy(y.copy()).reshape(-1, 2) for y in path.y.T]


@cache
def problems() -> tuple[AnisotropicGaussian, ThreeModes]:
    """Return the Gaussian and the mixture: the same objects, with cached states, at each call."""
    return AnisotropicGaussian(), ThreeModes()


@dataclass(frozen=True)
class Rational:
    """Denoiser (x + ``pull`` x / (1 + x^2)) / (1 + sigma^2), bit-identical in any batch."""

    pull: float = 0.5

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return ``x`` ``(batch, *event)`` denoised at one level, or at a level for each row."""
        level = sigma
        if isinstance(sigma, Tensor):
            level = sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return (x + self.pull * x / (1 + x * x)) / (1 + level * level)

    def take(self, rows: Tensor) -> Rational:  # noqa: ARG002
        """Return the same denoiser for any rows."""
        return self
