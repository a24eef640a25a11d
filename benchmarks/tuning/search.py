"""Search for levels: from the best built-in schedules, downhill in the free levels."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ...models.denoiser import Denoiser
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import Table, Tabulated
from ...samplers.schedules import SCHEDULES
from ..planning.schedules import make_schedule
from ..planning.tuned_schedule import Spacing
from .problem import TuningProblem

OBJECTIVES = {"mean": 1, "rms": 2, "geometric": 0}
"""Powers of the means that tuning can minimise, the default first (docs/how-to/tuning.md)."""

STARTS = 2
"""Number of grids from which the search goes downhill."""

PATIENCE = 30
"""Largest number of evaluations of the objective in a descent, per step of the sampler."""

FLOOR = 1e-9
"""Distance to which smaller distances, which are rounding errors, are raised."""

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
    begun: Grid | None = None,
) -> SearchResult:
    """Search the levels that bring a deterministic sampler nearest to the endpoints of a problem.

    The result is never worse than the best built-in schedule. Built-in schedules spend their last
    evaluation at sigma_min, mostly in vain. So grids of one step more without sigma_min are tried
    too, and descents start from the best :data:`STARTS` of all grids. With ``begun``, a grid that
    was found with coarser endpoints, descent starts from this grid only.
    """
    model, power = problem.model, OBJECTIVES[objective]
    spacing = Spacing(steps, model.sigma_min, model.sigma_max)

    def error(grid: Grid) -> float:
        return power_mean(problem.distances(sampler, grid), power)

    def cost(z: NDArray[np.float64]) -> float:
        return float(np.log(error(spacing.grid(z))))

    untuned, early = candidate_grids(steps, model)
    starts = [] if begun is None else [begun]
    errors = {grid: error(grid) for grid in dict.fromkeys([*untuned, *early, *starts])}
    options = {"eps": _DIFFERENCE, "ftol": _ENOUGH, "maxfun": PATIENCE * steps}
    for start in starts or sorted(errors, key=errors.__getitem__)[:STARTS]:
        z = spacing.free_numbers(start)
        lowest = spacing.grid(minimize(cost, z, method="L-BFGS-B", options=options).x)
        errors[lowest] = error(lowest)
    best = min(untuned, key=errors.__getitem__)
    return SearchResult(min(errors, key=errors.__getitem__), untuned[best], best)


def candidate_grids(steps: int, model: Denoiser) -> tuple[dict[Grid, str], list[Grid]]:
    """Return built-in grids with names, and built-in grids of one step more without sigma_min."""
    # of equal grids, the first name stays
    untuned = {grid: name for name, grid in reversed(built_in_grids(steps, model).items())}
    early = [Grid((*grid.sigma[:-2], 0.0)) for grid in built_in_grids(steps + 1, model).values()]
    return untuned, early


def power_mean(distances: NDArray[np.float64], power: int) -> float:
    """Return the power mean of distances, in their units; power 0 is the geometric mean."""
    values = np.maximum(distances, FLOOR)  # so that neither log nor power fails
    if power == 0:
        return float(np.exp(np.log(values).mean()))
    return float((values ** float(power)).mean() ** (1 / power))
