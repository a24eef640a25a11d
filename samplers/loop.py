"""Base class of samplers with one step per interval of a fixed grid, and their loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import AnyDenoise, AnyNoise, Levels, OnStep, Sampler, bind_inputs
from .buffers import reuse_buffers
from .grid import Grid
from .types import Denoise, StepNoise


@dataclass(frozen=True, kw_only=True)
class GridSampler(Sampler, ABC):
    """Base class of samplers with one step per interval; define :meth:`plan` and :meth:`step`.

    Subclasses are frozen dataclasses: no call changes them.

    Class attributes in addition to :class:`Sampler`'s:
        history: number of history entries that a step may read. An entry is what a step leaves for
            later steps: the second result of :meth:`step`, such as a denoised image.
    """

    history: ClassVar[int] = 0

    def sample(
        self,
        denoise: AnyDenoise,
        x: Tensor,
        grid: Levels,
        noise: AnyNoise = None,
        *,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See :meth:`Sampler.sample`; ``on_step`` is called after each step (:data:`.OnStep`)."""
        return integrate(self, denoise, x, grid, noise, on_step=on_step)

    @abstractmethod
    def plan(self, grid: Grid) -> Sequence[Any]:
        """Return a row of coefficients per step, from the grid and options alone, on the CPU."""

    @abstractmethod
    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Return the states and the history entry after one step.

        Args:
            x: ``(batch, *event)``, owned by the step: it may be overwritten and returned.
            row: this step's row of the plan.
            past: entries of earlier steps, newest first, at most ``history``; never modify them.
            denoise: ``denoise(x, sigma)``, bound to this batch. Do not modify a result that is kept
                in an entry.
            noise: this step's noise.
        """

    def nfe(self, grid: Grid) -> int:
        """Return the number of evaluations per sample: one a step, if no subclass overrides it."""
        return len(grid)


@torch.no_grad()  # steps write over their own tensors
def integrate(
    sampler: GridSampler,
    denoise: AnyDenoise,
    x: Tensor,
    grid: Levels,
    noise: AnyNoise,
    *,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return the states after a grid sampler's steps over its plan, without gradients.

    ``x`` ``(batch, *event)`` has the states at ``grid.sigma[0]``; it is not modified. ``on_step`` is
    called after step i with (i, level reached, a copy of the state).

    Raises:
        ValueError: the plan does not have one row per step.
        TypeError: a step did not return a state and a history entry.
    """
    denoise, grid, noise = bind_inputs(sampler, denoise, x, grid, noise)
    plan = cached_plan(sampler, grid)
    if len(plan) != len(grid):
        raise ValueError(
            f"{sampler.name}: plan() gave {len(plan)} rows for a grid of {len(grid)} steps"
        )
    x, past = x.clone(), ()
    with reuse_buffers():
        for i, (row, (cur, nxt)) in enumerate(zip(plan, grid.intervals(), strict=True)):
            result = sampler.step(x, row, past, denoise, noise.at(i, cur, nxt))
            # a bare tensor with two rows would unpack silently
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(_bad_step_message(sampler, result))
            x, entry = result
            past = (entry, *past)[: sampler.history]
            if on_step is not None:
                on_step(i, nxt, x.clone())
    return x


def cached_plan(sampler: GridSampler, grid: Grid) -> Sequence[Any]:
    """Return the sampler's plan for the grid, cached if the sampler is hashable."""
    try:
        hash(sampler)  # a frozen dataclass has a hash, which fails if a field is a list
    except TypeError:
        return sampler.plan(grid)
    return _plan_of_hashable(sampler, grid)


def _bad_step_message(sampler: GridSampler, result: object) -> str:
    code = getattr(type(sampler).step, "__code__", None)
    place = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    things = f"{len(result)} things" if isinstance(result, tuple) else f"a {type(result).__name__}"
    return (
        f"{sampler.name}: step(){place} returned {things}; it must return the next state and "
        "a history entry: return x, None"
    )


@lru_cache(maxsize=256)
def _plan_of_hashable(sampler: GridSampler, grid: Grid) -> Sequence[Any]:
    return sampler.plan(grid)


forget_plans = _plan_of_hashable.cache_clear
"""Function that empties the cache of :func:`cached_plan`."""
