"""The only fixed-grid loop in the project."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .base import GridSampler
from .grid import Grid
from .types import Denoise, Noise

OnStep = Callable[[int, float, Tensor], None]


@torch.no_grad()
def integrate(sampler: GridSampler, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise, *, on_step: OnStep | None = None) -> Tensor:
    """Run a grid sampler over its plan, without gradients.

    Args:
        sampler: gives the plan and the step.
        denoise: bound denoiser.
        x: ``(batch, *event)`` states at ``grid.sigma[0]``; cloned once, so the caller's tensor is not modified.
        grid: noise levels.
        noise: asked once per step.
        on_step: called after step i with (i, level reached, a copy of the state).

    Returns:
        States at ``grid.sigma[-1]``.

    Raises:
        ValueError: the plan does not have one row per step.
    """
    plan = _plan(sampler, grid) if isinstance(sampler, Hashable) else sampler.plan(grid)
    if len(plan) != len(grid):
        raise ValueError(f"{sampler.name}: plan() gave {len(plan)} rows for a grid of {len(grid)} steps")
    x, past = x.clone(), ()
    for i, (row, (cur, nxt)) in enumerate(zip(plan, grid.intervals(), strict=True)):
        x, memo = sampler.step(x, row, past, denoise, noise.at(i, cur, nxt))
        past = (memo, *past)[: sampler.history]
        if on_step is not None:
            on_step(i, nxt, x.clone())
    return x


@lru_cache(maxsize=256)
def _plan(sampler: GridSampler, grid: Grid) -> Sequence[Any]:
    """The plan, made once for all batches: it is a pure function of two immutable values."""
    return sampler.plan(grid)
