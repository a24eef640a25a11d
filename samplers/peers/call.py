"""Denoiser and noise of one batch, in the forms that other libraries ask for."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..grid import Grid
from ..types import Denoise, Noise

ROUNDING = 3e-6
"""Relative distance within which a peer's level is the grid's: some compute levels in float32,
through logarithms.
"""


class Call:
    """The denoiser and noise of one batch on one grid.

    Attributes:
        grid: the levels.
        step: the step whose noise is drawn next; it follows the level of the last evaluation.
    """

    def __init__(self, denoise: Denoise, grid: Grid, noise: Noise, dtype: torch.dtype) -> None:
        self.grid = grid
        self.step = 0
        self._denoise, self._noise, self._dtype = denoise, noise, dtype
        self._rising = grid.sigma[::-1]
        self._drawn: dict[int, int] = {}
        self._path: tuple[int, list[tuple[float, Tensor | float]]] = (-1, [])

    @property
    def positive(self) -> tuple[float, ...]:
        """The levels above 0."""
        return tuple(s for s in self.grid.sigma if s > 0)

    def levels(self, x: Tensor, levels: Sequence[float] | None = None) -> Tensor:
        """Return levels (the grid's unless given) as a float64 tensor on the device of ``x``."""
        return torch.tensor(
            self.grid.sigma if levels is None else levels, dtype=torch.float64, device=x.device
        )

    def denoised(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The denoised image in the dtype of ``x``, evaluated in the run's.

        The level may have any shape; all rows share it.
        """
        level = self._snapped(
            float(sigma.flatten()[0]) if isinstance(sigma, Tensor) else float(sigma)
        )
        self.step = self.step_of(level)
        return self._denoise(x.to(self._dtype), level).to(x.dtype)

    def eps(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The noise direction (x - d) / sigma."""
        level = self._snapped(
            float(sigma.flatten()[0]) if isinstance(sigma, Tensor) else float(sigma)
        )
        return (x - self.denoised(x, level)) / level

    def jump(self, x: Tensor) -> Tensor:
        """The step to 0, x <- d, for a peer that stops at the last positive level.

        Nothing on a grid that does.
        """
        return self.denoised(x, self.positive[-1]) if self.grid.to_zero else x

    def draw(self, cur: float | None = None, nxt: float | None = None) -> Tensor:
        """Return a standard normal like the state, a new one each time: for the interval from
        ``cur`` to ``nxt``, or for the present step.

        A peer that names intervals expects a path. Intervals of one step that begin at one level,
        each longer than the last, get increments of one path in sigma, as k-diffusion's own are:
        see :func:`~samplerbench.samplers.families.noisy_stages.on_one_path`.
        """
        if cur is None or nxt is None:
            return self._fresh(min(self.step, len(self.grid) - 1))
        start, end = self._snapped(float(cur)), self._snapped(float(nxt))
        step = self.step_of(start)
        if end >= start:
            return self._fresh(step, start, end)
        path_step, path = self._path
        levels = [level for level, _ in path]
        at = next((k for k, s in enumerate(levels) if abs(s - start) <= ROUNDING * start), None)
        if path_step != step or at is None or end >= levels[-1]:
            at, path = 0, [(start, 0.0)]
        low, reached = path[-1]
        fresh = self._fresh(step, low, end)
        value = reached + math.sqrt(low - end) * fresh
        self._path = step, [*path, (end, value)]
        return fresh if at == len(path) - 1 else (value - path[at][1]) / math.sqrt(start - end)

    def _fresh(self, step: int, cur: float | None = None, nxt: float | None = None) -> Tensor:
        """The next draw of a step."""
        count = self._drawn[step] = self._drawn.get(step, -1) + 1
        noise = self._noise.at(step, *self.grid.sigma[step : step + 2])
        return noise(count, cur=cur, nxt=nxt)

    def once_a_step(self) -> Callable[[], Tensor]:
        """A source for foreign code that draws once at the beginning of every step."""
        steps = itertools.count()

        def draw() -> Tensor:
            self.step = next(steps)
            return self.draw()

        return draw

    def noised(self, draw: Callable[[], Tensor] | None = None) -> TorchFunctionMode:
        """A context in which foreign calls of ``torch.randn`` and ``torch.randn_like`` return
        ``draw()``, by default :meth:`draw`.
        """
        return _OurNoise(draw or self.draw)

    def step_of(self, level: float) -> int:
        """The step that starts at or above ``level``, the last such."""
        above = len(self._rising) - bisect_left(self._rising, level * (1 - ROUNDING))
        return min(max(above - 1, 0), len(self.grid) - 1)

    def _snapped(self, level: float) -> float:
        """The grid's level if it is within rounding."""
        at = bisect_left(self._rising, level)
        near = min(self._rising[max(at - 1, 0) : at + 1], key=lambda s: abs(s - level))
        return near if abs(near - level) <= ROUNDING * level else level


class _OurNoise(TorchFunctionMode):
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
        if func is torch.randn_like:
            return self._draw().to(options.get("dtype") or args[0].dtype)
        if func is torch.randn:
            noise = self._draw()
            return noise.to(options.get("dtype") or noise.dtype)
        return func(*args, **options)


def image(x: Tensor) -> Tensor:
    """The state as a batch of images ``(batch, c, h, w)``, which some libraries assume."""
    return x if x.ndim == 4 else x.reshape(len(x), -1, 1, 1)
