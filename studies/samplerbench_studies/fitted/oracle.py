"""Fit of all numbers of a table on the latents on which it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.tuning import FreeParameters, Runs, TuningProblem, fit
from samplerbench.samplers import Grid, Sampler

from ..arrays import FloatArray
from .spans import Trajectories, least_shared, summarise, trajectories

CRITERIA = {"rms": 2, "median": 0}
"""Criteria, with the power of the mean that a fit lowers for each (0: geometric mean)."""
BATCH = 96

ROUNDS = 8
"""Most fits in sequence, each from the result of the last, whose last step is refitted."""
ENOUGH = 0.003
"""Relative gain of a fit in a sequence below which the sequence ends."""
JUST_BELOW = 1 - 1e-9
"""Ratio of the first two levels of a table whose first step makes no evaluation."""


class Run(NamedTuple):
    """Sampler on a grid, with a label."""

    label: str
    sampler: Any
    grid: Grid


def general_form(run: Run) -> Run:
    """Return a run as a table whose first step makes no evaluation, so that it may scale the latent.

    Levels are written in the table: the grid only has to fall.
    """
    sampler, grid = run.sampler, run.grid
    if getattr(sampler, "own_grid", False):
        sampler, grid = sampler.method(grid), sampler.levels(grid)
    free = FreeParameters(sampler, grid, grid.sigma[-2], grid.sigma[0], "coefficients")
    table = free.sampler_at(np.zeros(free.size))
    levels = zip(table.table, grid.sigma, strict=False)  # type: ignore[attr-defined]
    rows = [row._replace(level=row.level or sigma) for row, sigma in levels]
    if rows[0].b:
        first = rows[0]._replace(a=1.0, b=(), level=grid.sigma[0])
        rows = [first, *rows]
        grid = Grid((grid.sigma[0], grid.sigma[0] * JUST_BELOW, *grid.sigma[1:]))
    return Run(run.label, replace(table, table=tuple(rows)), grid)  # type: ignore[type-var]


def with_last_step(sampler: Any, numbers: Tensor) -> Any:
    """Return a table whose last step ends at the combination ``numbers`` ``(n + 1,)``.

    The table has the form of :func:`general_form`. It is unchanged if the state before the last
    step has no part in the latent, which the last step then cannot provide.
    """
    *rows, last = sampler.table
    state = np.eye(len(numbers))[0]
    for row in rows:
        state = row.a * state
        state[1 : len(row.b) + 1] += row.b[::-1]
    if not state[0]:
        return sampler
    a = float(numbers[0]) / state[0]
    b = (numbers.numpy() - a * state)[1:][::-1]
    return replace(sampler, table=(*rows, last._replace(a=a, b=tuple(b.tolist()))))


@dataclass(eq=False)
class Oracle:
    """Fit of all numbers of a table on the latents on which it is measured.

    Attributes:
        problem: model, latents and endpoints.
        criterion: "rms" or "median".
        effort: evaluations per latent after which the fits from one start end.
        kept: number of the best starts from which fits go on.
    """

    problem: TuningProblem
    criterion: str
    effort: int
    kept: int

    def __call__(self, starts: Sequence[Run]) -> tuple[Run, Trajectories]:
        """Return the best table found, labelled by its start, and its runs."""
        tables = [self._refit_last_step(general_form(run)) for run in starts]
        best = sorted(tables, key=self._error)[: self.kept]
        run, runs = min(map(self._descend, best), key=self._error)
        return run, runs

    def _error(self, found: tuple[Run, Trajectories]) -> float:
        return summarise(found[1].distances, self.criterion)

    def _descend(self, found: tuple[Run, Trajectories]) -> tuple[Run, Trajectories]:
        """Return the result of fits in sequence, each with the last step refitted."""
        problem, count = self.problem, len(self.problem.ids)
        x = torch.cat([states for _, states in problem.batches])
        runs = Runs(problem.model, problem.ids, problem.seed, x, problem.endpoints, BATCH)
        end = problem.meter.rows + self.effort * count

        def differences(sampler: Sampler, grid: Grid, part: slice) -> FloatArray:
            """Return differences from the ends; the latents that choose a step are all of them."""
            return runs.differences_from_ends(sampler, grid, part if part.stop else slice(None))

        for _ in range(ROUNDS):
            before, (run, _) = self._error(found), found
            free = FreeParameters(
                run.sampler,
                run.grid,
                problem.model.sigma_min,
                problem.model.sigma_max,
                "coefficients",
                free_sums=True,
                network_levels=True,
            )
            power, late = CRITERIA[self.criterion], lambda: problem.meter.rows > end
            fitted = fit(free, differences, count, power, late)
            new = self._refit_last_step(run._replace(sampler=fitted.sampler))
            found = min(found, new, key=self._error)
            if self._error(found) > (1 - ENOUGH) * before or late():
                break
        return found

    def _refit_last_step(self, run: Run) -> tuple[Run, Trajectories]:
        """Return a run, or with the best shared coefficients of its evaluations if better."""
        own = trajectories(self.problem, run.sampler, run.grid)
        last = with_last_step(run.sampler, least_shared(own, self.criterion))
        moved = run._replace(sampler=last)
        new = trajectories(self.problem, moved.sampler, moved.grid)
        return min((run, own), (moved, new), key=self._error)
