"""Inputs of samplers' fingerprints: three points in the plane, a mixture of two Gaussians as the
denoiser, fixed noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from ....samplers import Noise, NoNoise, SampleNoise
from ....samplers.brownian import BrownianNoise
from ....samplers.types import StepNoise

ROWS, EVENT, SEED = 3, (2,), 0
_KEPT = 20_000  # tensors of noise, of six numbers each


class ProbeDenoiser:
    """Exact denoiser of two Gaussians with one covariance, of unlike weights, off the origin;
    float64.

    With the standard deviations a of the coordinates, the centre c, the means c ± m and v = a² +
    sigma²,

        d = e + a² / v (x - e),        e = c + m tanh(m / v · (x - c) + b).

    It implements :class:`~samplerbench.samplers.types.Denoise`; rows are independent.

    Args:
        scale: of the data, in the middle of the noise levels: most steps see both Gaussians.
        event: shape of a sample; its coordinates repeat the two of the plane.
    """

    def __init__(self, scale: float, event: tuple[int, ...] = EVENT) -> None:
        count = math.prod(event)
        self._square, self._centre, self._apart = (
            torch.tensor(values * -(-count // 2), dtype=torch.float64)[:count] * unit
            for values, unit in (
                ((0.09, 0.49), scale**2),
                ((0.4, -0.3), scale),
                ((1.1, 0.5), scale),
            )
        )

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return E[x0 | x] of ``x`` ``(n, *event)`` at ``sigma``, one level or ``(n,)``."""
        level = (
            sigma.to(torch.float64).reshape(-1, 1) if isinstance(sigma, Tensor) else float(sigma)
        )
        rows = x.to(torch.float64).flatten(1)
        total = self._square + level * level
        side = (
            ((rows - self._centre) * (self._apart / total)).sum(1, keepdim=True).add_(0.2).tanh_()
        )
        d = torch.lerp(self._centre + self._apart * side, rows, self._square / total)
        return d.to(x.dtype).reshape(x.shape)

    def take(self, rows: Tensor) -> Self:  # noqa: ARG002 - no row has anything of its own
        """Return itself for other rows."""
        return self


class CachedNoise:
    """Source of noise whose tensors are drawn once a process: white noise does not depend on the
    grid, so all cells share it.

    Args:
        source: draws each tensor the first time.
        intervals: True if a draw depends on the levels of its step.
    """

    def __init__(self, source: SampleNoise | BrownianNoise, *, intervals: bool) -> None:
        self._source, self._intervals = source, intervals
        self._drawn: dict[tuple[object, ...], Tensor] = {}

    def initial(self) -> Tensor:
        """Return the latents ``(3, 2)``, standard normal."""
        return self._once(("initial",), self._source.initial)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """See :class:`~samplerbench.samplers.types.Noise`."""
        where = (step, cur, nxt) if self._intervals else (step,)

        def answer(draw: int = 0, *, cur: float | None = None, nxt: float | None = None) -> Tensor:
            key = (*where, draw, cur, nxt) if self._intervals else (*where, draw)
            return self._once(key, lambda: source(draw, cur=cur, nxt=nxt))

        source = self._source.at(step, cur, nxt)
        return answer

    def take(self, rows: Tensor) -> Noise:
        """Return the noise of a subset or of repeats of the rows, without the cache."""
        return self._source.take(rows)

    def _once(self, key: tuple[object, ...], draw: Callable[[], Tensor]) -> Tensor:
        if len(self._drawn) > _KEPT:
            self._drawn.clear()
        if key not in self._drawn:
            self._drawn[key] = draw()
        return self._drawn[key].clone()


_IDS = torch.arange(ROWS)
_WHITE = CachedNoise(SampleNoise(SEED, _IDS, EVENT, torch.float64), intervals=False)
_paths: dict[tuple[float, float], CachedNoise] = {}


def latents() -> Tensor:
    """Return three standard normal points ``(3, 2)``, float64."""
    return _WHITE.initial()


def noise_of(kind: str | None, sigma_max: float, sigma_min: float) -> Noise:
    """Return the noise source of a sampler.

    Args:
        kind: "white", "brownian", or None for one that draws nothing.
        sigma_max: where a Brownian path begins.
        sigma_min: where it ends.
    """
    if kind is None:
        return NoNoise()
    if kind != "brownian":
        return _WHITE
    ends = sigma_max, sigma_min
    if ends not in _paths:
        _paths[ends] = CachedNoise(
            BrownianNoise(SEED, _IDS, EVENT, *ends, torch.float64), intervals=True
        )
    return _paths[ends]


def scale_of(sigma_max: float, sigma_min: float) -> float:
    """Return the geometric mean of the ends of the levels."""
    return math.sqrt(sigma_max * sigma_min)
