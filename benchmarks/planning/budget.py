"""Number of steps that fit in a budget of evaluations."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...samplers import Grid, SampleNoise, Sampler, karras
from ..sampling.batch import without_first_level
from ..sampling.execution import has_cost_by_level

if TYPE_CHECKING:
    from ...models.denoiser import Denoiser
    from .schedules import Schedule


def evaluations_by_steps(
    model: Denoiser,
    sampler: Sampler,
    schedule: Schedule,
    end: str,
    sigma_start: float | None = None,
    *,
    infinite: bool = False,
) -> Callable[[int], int]:
    """Return a cached function from a number of steps to a sampler's evaluations per sample.

    ``end`` is "zero" or "sigma_min". Grids begin at ``sigma_start``; None stands for sigma_max. With
    ``infinite``, an infinite level replaces the first. Each pass of a guided network counts. The
    function raises a ValueError if the sampler's ``nfe`` returns None.
    """

    @cache
    def cost(n: int) -> int:
        top = sigma_start or model.sigma_max
        grid = grid_for_counting(schedule, n, model.sigma_min, top, to_zero=end == "zero")
        rest = without_first_level(grid) if infinite else grid
        says = 0 if rest is None else schedule.nfe(sampler, rest)
        if says is None:
            raise ValueError(
                f"sampler {sampler.name!r} cannot say what it costs (nfe() gives None), so give --steps; "
                "or, if it ignores the steps, let it declare adaptive = True"
            )
        first = model.passes_at(math.inf) if infinite else 0
        if rest is None or sampler.own_grid or not has_cost_by_level(model, rest):
            return first + model.passes * says
        return first + sum(map(model.passes_at, levels_called(sampler, rest)))

    return cost


def grid_for_counting(
    schedule: Schedule, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True
) -> Grid:
    """Return the schedule's grid of ``n`` steps; karras if it has none or needs a sampler."""
    with suppress(ValueError):  # trials of a budget have more steps than fit in it
        if not schedule.needs_sampler:  # tuned levels may be missing
            return schedule(n, sigma_min, sigma_max, to_zero=to_zero)
    return karras(n, sigma_min, sigma_max, to_zero=to_zero)


def why_over_budget(model: Denoiser, sampler: Sampler, grid: Grid, budget: int) -> str:
    """Return why a sampler on levels that were found for it costs over ``budget``; "" if it does not.

    Its steps were counted on karras levels (:func:`grid_for_counting`).
    """
    if not has_cost_by_level(model, Grid((model.sigma_max, model.sigma_min))):
        return ""
    spent = sum(map(model.passes_at, levels_called(sampler, grid)))
    if spent <= budget:
        return ""
    return (
        f"{len(grid)} steps take {spent} evaluations at the levels found for them, more than the budget of "
        f"{budget}; give --steps {len(grid)} in its place"
    )


def levels_called(sampler: Sampler, grid: Grid) -> list[float]:
    """Return the noise level of each evaluation that a sampler makes on a grid, in order."""
    called: list[float] = []

    def denoise(x: Tensor, sigma: float | Tensor) -> Tensor:
        called.append(float(sigma.flatten()[0] if isinstance(sigma, Tensor) else sigma))
        return torch.zeros_like(x)

    ids, x = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.float64)
    sampler.sample(denoise, x, grid, SampleNoise(0, ids, (1,), x.dtype))
    return called


def most_steps_within(budget: int, cost: Callable[[int], int]) -> int | None:
    """Return the largest number of steps that cost at most ``budget``; None if one step costs more.

    ``cost`` maps a number of steps to evaluations, and may fall over at most three steps. If it stops rising within the
    budget, the result is ``budget`` + 1. Raises a ValueError for a cost that still rises where more
    than 10,000 and at least 64 (``budget`` + 1) steps fit.
    """
    most = budget + 1  # an analytic first step costs nothing
    n = bisect_right(range(1, most + 1), budget, key=cost)
    # with more steps, fewer of pndm's first evaluations can be in an interval of guidance
    n = max((k for k in range(n + 1, min(n + 4, most)) if cost(k) <= budget), default=n)
    if n == most:  # a sampler may skip evaluations; one of constant cost has enough steps
        more = next((most << k for k in range(1, 7) if cost(most << k) > budget), most << 6)
        while cost(more // 2) < cost(more) <= budget:
            if more > 10_000:
                raise ValueError(f"{budget} evaluations take over {more:,} steps; give --steps")
            more *= 2
        n = bisect_right(range(1, more + 1), budget, key=cost) if cost(more) > budget else most
    return n or None
