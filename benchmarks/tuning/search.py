"""Search for levels and coefficients, from the best built-in schedules: downhill, or by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from ...models.denoiser import Denoiser
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import Table, Tabulated, tabulate
from ...samplers.schedules import SCHEDULES
from ..planning.schedules import make_schedule
from ..planning.tuned_file import Also, What
from ..planning.tuned_schedule import Spacing
from .free_parameters import FreeKind, FreeParameters, project_grid
from .least_squares import ENOUGH, Fit, Runs, fit
from .problem import BATCH, OBJECTIVES, TuningProblem, power_mean

STARTS = 2
"""Number of grids from which the search goes downhill."""

PATIENCE = 30
"""Largest number of evaluations of the objective in a descent, per step of the sampler."""

# difference of a free number for a slope: far above rounding in float32, far below what matters
_DIFFERENCE = 1e-3
_ENOUGH = 1e-4  # a descent ends when a step gains less, relative to the logarithm of the objective


class SearchResult(NamedTuple):
    """Tuned ``grid`` and ``table``; best built-in ``schedule`` and its grid ``untuned``."""

    grid: Grid
    schedule: str
    untuned: Grid
    table: Table | None = None

    def apply_coefficients(self, base: Sampler) -> Sampler:
        """Return the sampler with the coefficients that were found; unchanged if there are none."""
        return base if self.table is None else Tabulated(stands_for=base, table=self.table)


def built_in_grids(steps: int, model: Denoiser) -> dict[str, Grid]:
    """Return the grids to 0 of built-in schedules that need no model, by name.

    Synonyms are left out, and schedules of other programs (:attr:`.Entry.of_library`).
    """
    grids = {}
    for name, entry in SCHEDULES.items():
        if entry.needs_model or entry.of_library or entry.same_as in SCHEDULES:
            continue
        with suppress(ValueError):  # the schedule has no grid of so many steps
            grids[name] = make_schedule(name)(steps, model.sigma_min, model.sigma_max)
    return grids


def search_levels(
    problem: TuningProblem,
    sampler: Sampler,
    steps: int,
    objective: str = "mean",
    previous: SearchResult | None = None,
) -> SearchResult:
    """Search the levels that bring a deterministic sampler nearest to the endpoints of a problem.

    The result is never worse than the best built-in schedule. Built-in schedules spend their last
    evaluation at sigma_min, mostly in vain. So grids of one step more without sigma_min are tried
    too, and descents start from the best :data:`STARTS` of all grids. With ``previous``, a result
    with coarser endpoints, descent starts from its grid only. ``objective`` is a key of
    :data:`.OBJECTIVES`, the means of distances that can be minimised.
    """
    model, power = problem.model, OBJECTIVES[objective]
    spacing = Spacing(steps, model.sigma_min, model.sigma_max)

    def error(grid: Grid) -> float:
        return power_mean(problem.distances(sampler, grid), power)

    def cost(z: NDArray[np.float64]) -> float:
        return float(np.log(error(spacing.grid(z))))

    untuned, early = candidate_grids(steps, model)
    starts = [] if previous is None else [previous.grid]
    errors = {grid: error(grid) for grid in dict.fromkeys([*untuned, *early, *starts])}
    options = {"eps": _DIFFERENCE, "ftol": _ENOUGH, "maxfun": PATIENCE * steps}
    for start in starts or sorted(errors, key=errors.__getitem__)[:STARTS]:
        z = spacing.free_numbers(start)
        lowest = spacing.grid(minimize(cost, z, method="L-BFGS-B", options=options).x)
        errors[lowest] = error(lowest)
    best = min(untuned, key=errors.__getitem__)
    return SearchResult(min(errors, key=errors.__getitem__), untuned[best], best)


def candidate_grids(steps: int, model: Denoiser) -> tuple[dict[Grid, str], list[Grid]]:
    """Return built-in grids with their names, and grids of one step more without sigma_min."""
    # of equal grids, the first name stays
    untuned = {grid: name for name, grid in reversed(built_in_grids(steps, model).items())}
    early = [Grid((*grid.sigma[:-2], 0.0)) for grid in built_in_grids(steps + 1, model).values()]
    return untuned, early


EQUATIONS = 2 / 3
"""Share of the latents that coefficients are fitted to; the others choose the size of the step."""


def fit_coefficients(
    problem: TuningProblem,
    sampler: Sampler,
    steps: int,
    objective: str = "mean",
    what: What = "both",
    previous: SearchResult | None = None,
    also: Sequence[Also] = (),
) -> SearchResult:
    """Fit numbers of the kinds ``what`` and ``also``, to bring samples nearest to the endpoints.

    ``objective`` is a key of :data:`.OBJECTIVES`, the means of distances that can be minimised. The
    result is never worse than ``previous``, a result with coarser endpoints. Without ``previous``, it
    is never worse than the best built-in schedule.
    """
    model, power = problem.model, OBJECTIVES[objective]

    def error(solver: Sampler, grid: Grid) -> float:
        return power_mean(problem.distances(solver, grid), power)

    untuned, early = candidate_grids(steps, model)
    moves = what in ("grid", "both")
    errors = {g: error(sampler, g) for g in [*untuned, *(early if moves else ())]}
    best = min(untuned, key=errors.__getitem__)
    if previous is None:
        previous = SearchResult(min(errors, key=errors.__getitem__), untuned[best], best)
    initial, start = previous.apply_coefficients(sampler), previous.grid
    own = previous if previous.table else previous._replace(table=tabulate(sampler, start))
    x = torch.cat([states for _, states in problem.batches])
    ends = problem.targets(problem.steps)
    runs = Runs(model, problem.ids, problem.seed, x, ends, BATCH, problem.features)
    equations = min(max(1, round(EQUATIONS * len(x))), len(x) - 1)
    if moves:
        start = project_grid(start, model.sigma_min, model.sigma_max)
    kind: FreeKind = "levels" if what == "grid" else what

    def fit_from(sampler: Sampler, grid: Grid, more: Sequence[Also] = (), by: Runs = runs) -> Fit:
        free = FreeParameters(
            sampler,
            grid,
            model.sigma_min,
            model.sigma_max,
            kind,
            free_sums="sums" in more,
            network_levels="network-levels" in more,
        )
        return fit(free, by.differences_from_ends, equations, power)

    # a table with ratios would be compensated again
    fits = [fit_from(sampler if what == "ratios" else initial, start)]
    # samples are nearer to linear in the numbers than features
    if problem.features is not None and what != "ratios":
        near = fit_from(initial, start, (), replace(runs, ends=problem.endpoints, features=None))
        near = fit_from(near.sampler, near.grid)
        if near.after < (1 - ENOUGH) * fits[0].after:
            fits.insert(0, near)
    if also:
        fits += [fit_from(fits[0].sampler, fits[0].grid, also), fit_from(initial, start, also)]
    best_fit = min(fits, key=lambda each: each.after)
    found, at = best_fit.sampler, best_fit.grid
    if error(found, at) >= error(initial, own.grid):
        return own
    table = found.table if isinstance(found, Tabulated) else None
    return own._replace(grid=at, table=table)
