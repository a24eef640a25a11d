"""Search for coefficients: by least squares, from the sampler's own ones on the best built-in schedule."""

from __future__ import annotations

from typing import Literal

import torch

from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import tabulate
from .free import FreeParameters, projected
from .least_squares import fit
from .problem import TuningProblem
from .runs import Runs
from .search import OBJECTIVES, Found, candidate_grids, power_mean
from .teacher import BATCH

EQUATIONS = 2 / 3
"""Share of the latents that coefficients are fitted to; the others choose how far."""


def fitted(
    problem: TuningProblem,
    sampler: Sampler,
    steps: int,
    objective: str = "mean",
    what: Literal["coefficients", "both"] = "both",
    begun: Found | None = None,
) -> Found:
    """Return the coefficients, and with ``both`` the levels too, that bring a sampler nearest to the
    endpoints of a problem.

    Never worse than the sampler on the best built-in schedule, or than what was begun with.

    Args:
        problem: latents to tune on, 2 at least.
        sampler: a linear method of one evaluation a step.
        steps: of the grid, >= 2.
        objective: of :data:`.search.OBJECTIVES`.
        what: is free. Levels that are not free come from the built-in schedule.
        begun: result of a search with coarser endpoints; this one goes on from it.
    """
    model, power = problem.model, OBJECTIVES[objective]

    def error(solver: Sampler, grid: Grid) -> float:
        return power_mean(problem.distances(solver, grid), power)

    untuned, early = candidate_grids(steps, model)
    errors = {g: error(sampler, g) for g in [*untuned, *(early if what == "both" else ())]}
    best = min(untuned, key=errors.__getitem__)
    start = min(errors, key=errors.__getitem__) if begun is None else begun.grid
    first = Found(start, untuned[best], best) if begun is None else begun
    initial = first.sampler(sampler)
    own = first if first.table else first._replace(table=tabulate(sampler, start))
    x = torch.cat([states for _, states in problem.batches])
    runs = Runs(model, problem.ids, problem.seed, x, problem.endpoints, BATCH)
    equations = min(max(1, round(EQUATIONS * len(x))), len(x) - 1)
    if what == "both":
        start = projected(start, model.sigma_min, model.sigma_max)
    free = FreeParameters(initial, start, model.sigma_min, model.sigma_max, what)
    result = fit(free, runs.off, equations, power)
    if error(result.sampler, result.grid) >= error(initial, own.grid):
        return own
    return own._replace(grid=result.grid, table=result.sampler.table)  # type: ignore[attr-defined]
