"""Base class of peers, which run another library's code with our grid, noise and denoiser."""

from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..base import Declared
from ..grid import Grid
from ..types import Denoise, FunctionDenoiser, Noise, StepNoise
from .locate import resolve

ROUNDING = 3e-6
"""Relative distance within which a peer's level, often in float32, counts as the grid's level."""


class PeerBatch:
    """Denoiser and noise of one batch on one grid, in the forms that peers call.

    Attributes:
        grid: the levels.
        step: index of the step whose noise is drawn next; an evaluation sets it by its level.
    """

    def __init__(self, denoise: Denoise, grid: Grid, noise: Noise, dtype: torch.dtype) -> None:
        self.grid = grid
        self.step = 0
        self._denoise, self._noise, self._dtype = denoise, noise, dtype
        self._rising = grid.sigma[::-1]
        self._drawn: dict[int, int] = {}
        self._path: tuple[int, list[tuple[float, Tensor | float]]] = (-1, [])

    def denoised(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the denoised image in the dtype of ``x``; set ``step`` to ``sigma``'s step."""
        level = self._snap_to_grid(sigma)
        self.step = self.step_of(level)
        return self._denoise(x.to(self._dtype), level).to(x.dtype)

    def eps(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the noise direction (x - d) / sigma."""
        level = self._snap_to_grid(sigma)
        return (x - self.denoised(x, level)) / level

    def draw(self, cur: float | None = None, nxt: float | None = None) -> Tensor:
        """Return a new standard normal for the levels (cur, nxt), by default for the step ``step``.

        A peer that gives levels expects increments of a Brownian path. Intervals inside one step of
        the grid share a path with the time sigma, as in k-diffusion. An interval begins a new path
        if the path has no value at ``cur`` or already goes down to ``nxt``.
        """
        if cur is None or nxt is None:
            return self._next_draw(min(self.step, len(self.grid) - 1))
        start, end = self._snap_to_grid(cur), self._snap_to_grid(nxt)
        step = self.step_of(start)
        if end >= start:
            return self._next_draw(step, start, end)
        path_step, path = self._path
        levels = [level for level, _ in path]
        at = next((k for k, s in enumerate(levels) if abs(s - start) <= ROUNDING * start), None)
        if path_step != step or at is None or end >= levels[-1]:
            at, path = 0, [(start, 0.0)]
        low, reached = path[-1]
        fresh = self._next_draw(step, low, end)
        value = reached + math.sqrt(low - end) * fresh
        self._path = step, [*path, (end, value)]
        return fresh if at == len(path) - 1 else (value - path[at][1]) / math.sqrt(start - end)

    def _next_draw(self, step: int, cur: float | None = None, nxt: float | None = None) -> Tensor:
        count = self._drawn[step] = self._drawn.get(step, -1) + 1
        noise = self._noise.at(step, *self.grid.sigma[step : step + 2])
        return noise(count, cur=cur, nxt=nxt)

    def step_noise_function(self) -> Callable[[], Tensor]:
        """Return a function whose call k, from 0, draws the noise of step k."""
        steps = itertools.count()

        def draw() -> Tensor:
            self.step = next(steps)
            return self.draw()

        return draw

    def replace_torch_noise(self, draw: Callable[[], Tensor] | None = None) -> TorchFunctionMode:
        """Return a context in which ``torch.randn`` and ``torch.randn_like`` return ``draw()``.

        The default is the method :meth:`draw`.
        """
        return _NoiseReplacement(draw or self.draw)

    def step_of(self, level: float) -> int:
        """Return the index of the last step that starts at or above ``level``; 0 if none does."""
        above = len(self._rising) - bisect_left(self._rising, level * (1 - ROUNDING))
        return min(max(above - 1, 0), len(self.grid) - 1)

    def _snap_to_grid(self, sigma: float | Tensor) -> float:
        """Return the level as a float: the grid's own level if it differs by rounding only."""
        level = float(sigma.flatten()[0]) if isinstance(sigma, Tensor) else float(sigma)
        at = bisect_left(self._rising, level)
        near = min(self._rising[max(at - 1, 0) : at + 1], key=lambda s: abs(s - level))
        return near if abs(near - level) <= ROUNDING * level else level


class _NoiseReplacement(TorchFunctionMode):
    def __init__(self, draw: Callable[[], Tensor]) -> None:
        super().__init__()
        self._draw = draw

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func not in (torch.randn, torch.randn_like):
            return func(*args, **options)
        noise = self._draw()
        like = args[0] if func is torch.randn_like else noise
        return noise.to(options.get("dtype") or like.dtype)


def as_image_batch(x: Tensor) -> Tensor:
    """Return ``x`` with four axes, as some libraries need: unchanged, or ``(batch, n, 1, 1)``."""
    return x if x.ndim == 4 else x.reshape(len(x), -1, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Peer(Declared, ABC):
    """Base class of samplers whose steps are another library's code, with its options as fields.

    The peer works in its own coordinates on the levels of our grid. It takes its noise from our
    source, and calls our denoiser, which counts the evaluations.

    Class attributes in addition to :class:`~samplerbench.samplers.Sampler`'s:
        target: the peer's own name for the method.
        origin: library and version, part of the fingerprint of a result.
        renamed: the peer's own name of an option, by our field, where the two differ.
        steps_to_zero: False if the peer's code stops at the last positive level. The step from
            there to 0 is then x <- d.
    """

    target: ClassVar[str]
    origin: ClassVar[str] = ""
    renamed: ClassVar[Mapping[str, str]] = {}
    steps_to_zero: ClassVar[bool] = False

    @abstractmethod
    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        """Return the state at the last of ``levels``, by the peer's code.

        Args:
            batch: our denoiser and noise.
            x: ``(batch, *event)`` states at the first level, which may be overwritten.
            levels: ``(n >= 2,)`` levels of the grid, float64 on the device of ``x``; without 0 unless
                ``steps_to_zero``.
        """

    def integrate(self, batch: PeerBatch, x: Tensor) -> Tensor:
        """Return the state at the grid's last level; ``x`` ``(batch, *event)`` may be overwritten."""
        grid = batch.grid
        levels = grid.sigma if self.steps_to_zero else grid.positive
        if len(levels) > 1:
            x = self.run(batch, x, torch.tensor(levels, dtype=torch.float64, device=x.device))
        if self.steps_to_zero or not grid.to_zero:
            return x
        return batch.denoised(x, grid.positive[-1])

    @property
    def options(self) -> dict[str, Any]:
        """Options of the peer by its own names."""
        return {self.renamed.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Return the states at the last level, by the peer's code, in the dtype of ``x``."""
        batch = PeerBatch(denoise, grid, noise if self.stochastic else _ZeroNoise(x), x.dtype)
        return self.integrate(batch, x.clone()).to(x.dtype)

    def nfe(self, grid: Grid) -> int | None:
        """Return the evaluations per sample, counted in a dry run; None for an adaptive peer.

        Raises:
            ValueError: the peer's code fails on this grid.
        """
        return None if self.adaptive else _dry_run(self, grid)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a function and arguments by which pickle makes the sampler from its name."""
        return _unpickle_peer, (self.name, {f.name: getattr(self, f.name) for f in fields(self)})


def define_peer(
    base: type[Peer], name: str, options: Mapping[str, Any], **declared: Any
) -> type[Peer]:
    """Return a subclass of ``base`` with a field per option and class attributes ``declared``.

    An option ``order`` becomes the field ``max_order``, since every sampler declares an ``order``.
    """
    body = {
        "name": name,
        "target": name.partition(":")[2],
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "renamed": {"max_order": "order"} if "order" in options else {},
        **declared,
    }
    specs = [
        (
            "max_order" if key == "order" else key,
            Any,
            field(default=tuple(value) if isinstance(value, list) else value),
        )
        for key, value in options.items()
    ]
    return make_dataclass(
        re.sub(r"\W+", "_", name), specs, bases=(base,), frozen=True, kw_only=True, namespace=body
    )


def _unpickle_peer(name: str, options: dict[str, Any]) -> Peer:
    return resolve(name)(**options)


class _ZeroNoise:
    """Noise that is zero, for peers that draw noise even where they multiply it by zero."""

    def __init__(self, x: Tensor) -> None:
        self.zero = torch.zeros_like(x)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:  # noqa: ARG002
        return lambda draw=0, *, cur=None, nxt=None: self.zero  # noqa: ARG005


@lru_cache(maxsize=4096)
def _dry_run(sampler: Peer, grid: Grid) -> int:
    """Return the number of evaluations of one sample with one element, for a closed-form denoiser.

    Raises a ValueError if the peer's code fails.
    """
    levels: list[float | Tensor] = []

    def denoise(x: Tensor, sigma: float | Tensor) -> Tensor:
        levels.append(sigma)
        return x / (1 + sigma * sigma)

    x = torch.full((1, 1, 1, 1), grid.sigma[0], dtype=torch.float64)  # some options need images
    with torch.no_grad():
        try:
            sampler.integrate(PeerBatch(FunctionDenoiser(denoise), grid, _ZeroNoise(x), x.dtype), x)
        except Exception as error:
            message = f"{type(error).__name__}: {error}".rstrip(": ")
            raise ValueError(
                f"peer {sampler.name!r} fails on a grid of {len(grid)} steps "
                f"({message}); choose another grid, or other options"
            ) from error
    return len(levels)
