"""``pipeline``: the steps of the scheduler in a checkpoint's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import Tensor

from ..base import FOUND, Declared, Sampler
from ..grid import Grid
from ..registry import make, register_unlisted
from ..types import Denoise, Noise, Source, TimedLevel


class Preset(NamedTuple):
    """Settings of a scheduler for a number of steps.

    Attributes:
        sampler: spec of our sampler that makes the same steps on ``levels``.
        levels: the noise levels, falling; the last may be 0.
        start: standard deviation of the noise that the scheduler begins with.
        end: factor by which the final states are multiplied.
        clip: bound on absolute values of the denoised image; None does not clamp it. Deterministic
            steps never clamp the predicted noise.
        description: the scheduler and its spacing of steps in words, for the user.
        times: pairs of a level and a time, which the network gets in place of the level's own time.
        map_end: level at which a few-step map ends; None for the lowest positive of ``levels``.
    """

    sampler: str
    levels: tuple[float, ...]
    start: float
    end: float = 1.0
    clip: float | None = None
    description: str = ""
    times: tuple[tuple[float, float], ...] = ()
    map_end: float | None = None


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class Pipeline(Declared):
    """Sampler that makes the steps of a checkpoint's own scheduler, on the scheduler's levels.

    With a preset, initial states at the grid's first level are scaled to the scheduler's start.
    Without a preset it is Euler's method on the given grid.

    Attributes:
        scheduler: class of diffusers, such as ``UniPCMultistepScheduler``, that replaces the
            checkpoint's own scheduler, with the settings that ``from_config`` gives the class; ""
            for the checkpoint's own.
        found: preset of the scheduler; None without one. The harness sets it; users do not.
    """

    name = "pipeline"
    own_grid = True
    translates = False
    of_checkpoint = True
    source = Source("samplerbench", "the settings of a checkpoint's own scheduler", "")
    scheduler: str = ""
    found: Preset | None = field(default=None, metadata=FOUND)

    def fitted(self, found: Preset) -> Pipeline:
        return replace(self, found=found)

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.found is not None and self._inner_sampler.stochastic

    @property
    def facts(self) -> dict[str, Any]:
        return {} if self.found is None else {"preset": self.found.description}

    @property
    def _inner_sampler(self) -> Sampler:
        inner: Any = make("euler" if self.found is None else self.found.sampler)
        return inner.with_end(self.found.map_end) if self.found and inner.for_maps else inner

    def levels(self, grid: Grid) -> Grid:
        return grid if self.found is None else Grid(self.found.levels)

    def nfe(self, grid: Grid) -> int | None:
        return self._inner_sampler.nfe(self.levels(grid))

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        if self.found is None:
            return self._inner_sampler.sample(denoise, x, grid, noise)
        levels, clip = self.levels(grid), self.found.clip
        called = _RetimedDenoiser(denoise, dict(self.found.times)) if self.found.times else denoise
        if clip is not None:
            called = _ClampedDenoiser(called, levels, clip, keeps_noise=not self.stochastic)
        first = x * (self.found.start / grid.sigma[0])
        return self._inner_sampler.sample(called, first, levels, noise) * self.found.end


@dataclass(frozen=True)
class _RetimedDenoiser:
    denoise: Denoise
    times: Mapping[float, float]

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        level = float(sigma)
        time = self.times.get(level)
        return self.denoise(x, sigma if time is None else TimedLevel(level, time))

    def take(self, rows: Tensor) -> _RetimedDenoiser:
        return replace(self, denoise=self.denoise.take(rows))


@dataclass(frozen=True)
class _ClampedDenoiser:
    """Denoiser whose images are clamped to [-bound, bound]; with ``keeps_noise``, as in DDIM.

    DDIM goes from level s to s' with the denoised image clamped and the predicted noise unchanged:
    x' = clamp(d) + r (x - d) with r = s' / s. Euler's step r x + (1 - r) d' gives the same x' for
    the image d' = (clamp(d) - r d) / (1 - r), which this denoiser then returns.
    """

    denoise: Denoise
    levels: Grid
    bound: float
    keeps_noise: bool

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        d = self.denoise(x, sigma)
        if not self.keeps_noise:
            return d.clamp(-self.bound, self.bound)
        at = self.levels.sigma.index(float(sigma))
        r = self.levels.sigma[at + 1] / self.levels.sigma[at]
        return (d.clamp(-self.bound, self.bound) - r * d) / (1 - r)

    def take(self, rows: Tensor) -> _ClampedDenoiser:
        return replace(self, denoise=self.denoise.take(rows))
