"""The only fixed-grid loop in the project."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .base import GridSampler
from .grid import Grid
from .types import Denoise, Noise

OnStep = Callable[[int, float, Tensor], None]


@torch.no_grad()
def integrate(
    sampler: GridSampler,
    denoise: Denoise,
    x: Tensor,
    grid: Grid,
    noise: Noise,
    *,
    on_step: OnStep | None = None,
) -> Tensor:
    """Run a grid sampler over its plan, without gradients.

    Args:
        sampler: gives the plan and the step.
        denoise: bound denoiser.
        x: ``(batch, *event)`` states at ``grid.sigma[0]``; cloned once, so the caller's tensor is
            not modified.
        grid: noise levels.
        noise: asked once per step.
        on_step: called after step i with (i, level reached, a copy of the state).

    Returns:
        States at ``grid.sigma[-1]``.

    Raises:
        ValueError: the plan does not have one row per step.
        TypeError: a step did not return a state and a memo.
    """
    plan = planned(sampler, grid)
    if len(plan) != len(grid):
        raise ValueError(
            f"{sampler.name}: plan() gave {len(plan)} rows for a grid of {len(grid)} steps"
        )
    x, past = x.clone(), ()
    for i, (row, (cur, nxt)) in enumerate(zip(plan, grid.intervals(), strict=True)):
        done = sampler.step(x, row, past, denoise, noise.at(i, cur, nxt))
        # two rows of a tensor would unpack without a word
        if not isinstance(done, tuple) or len(done) != 2:
            raise TypeError(_no_step(sampler, done))
        x, memo = done
        past = (memo, *past)[: sampler.history]
        if on_step is not None:
            on_step(i, nxt, x.clone())
    return x


def planned(sampler: GridSampler, grid: Grid) -> Sequence[Any]:
    """The sampler's plan, made once for all batches where the sampler can be a key."""
    return _plan(sampler, grid) if isinstance(sampler, Hashable) else sampler.plan(grid)


def _no_step(sampler: GridSampler, done: object) -> str:
    """What is wrong with what a step returned, and where the step is written."""
    code = getattr(type(sampler).step, "__code__", None)
    where = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    what = f"{len(done)} things" if isinstance(done, tuple) else f"a {type(done).__name__}"
    return (
        f"{sampler.name}: step(){where} returned {what}; it returns the next state and "
        "a memo: return x, None"
    )


@lru_cache(maxsize=256)
def _plan(sampler: GridSampler, grid: Grid) -> Sequence[Any]:
    """The plan, made once for all batches: it is a pure function of two immutable values."""
    return sampler.plan(grid)
