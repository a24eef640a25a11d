"""Configurations whose levels or coefficients are fitted to the model, on latents that nothing else uses."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ....models import Denoiser
from ....samplers import Grid, Sampler
from ....samplers.families.tabulated import Table, TableRow, Tabulated, tabulate, untabulable
from ...running.executors import Tell
from ...running.executors.tasks import CellTask
from ...running.executors.worker_context import WorkerContext
from ...sampling.batch import begin
from ...suites.cell import Cell
from ...suites.spec import canonical
from ...tuning.free import FreeKind, FreeParameters, projected
from ...tuning.least_squares import DAMPINGS, fit, mean
from ...tuning.runs import Runs
from ..answer import TUNED_LEVELS

START = 1 << 17
"""First latent: neither a race nor a score uses so many."""
EQUATIONS, CHOOSING = 64, 32
"""Latents that numbers are fitted to, and that choose how far."""
WHOLE, OLDER = 12, 4
"""Of more steps than this, so many older weights of each are free, and not all."""


class FittedNumbers(NamedTuple):
    """Fitted numbers of a sampler.

    Attributes:
        levels: of its grid, from sigma_max to 0.
        table: coefficients in place of its own; None where these stay.
    """

    levels: tuple[float, ...]
    table: Table | None

    @classmethod
    def of(cls, sampler: Sampler, grid: Grid) -> FittedNumbers:
        """Return the numbers of a sampler on its grid."""
        return cls(grid.sigma, sampler.table if isinstance(sampler, Tabulated) else None)

    @classmethod
    def read(cls, levels: Sequence[float], rows: Sequence[Sequence[float]]) -> FittedNumbers:
        """Read numbers from JSON values; no rows stand for the sampler's own."""
        table = tuple(TableRow(a, tuple(b)) for a, *b in rows)
        return cls(tuple(levels), table or None)

    @property
    def rows(self) -> list[list[float]]:
        """Table as JSON values: a row's weight of the state, then its weights of the images."""
        return [[row.a, *row.b] for row in self.table or ()]


@dataclass(frozen=True)
class TunedGrid:
    """Stand-in for the schedule of fitted levels.

    Attributes:
        label: :data:`~samplerbench.benchmarks.advice.answer.TUNED_LEVELS`, or the schedule where its
            levels stay; "" for the sampler's own.
        digest: of all that was found.
    """

    label: str
    digest: str

    def facts(self, n: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the facts that distinguish it in a cell's key."""
        return {"tuning_digest": self.digest}

    def bare(self) -> TunedGrid:
        """Return itself."""
        return self


def tuned_cell(cell: Cell, numbers: FittedNumbers) -> Cell:
    """Return the cell with fitted numbers in place of its levels and coefficients."""
    digest = hashlib.sha256(canonical([numbers.levels, numbers.rows]).encode()).hexdigest()[:8]
    sampler, grid = resolve_levels(cell.sampler, cell.grid) if cell.grid else (cell.sampler, None)
    if numbers.table is not None:
        sampler = Tabulated(stands_for=_bare(cell.sampler), table=numbers.table)
    is_own_grid = grid is not None and grid.sigma == numbers.levels
    label = ("" if cell.sampler.own_grid else cell.schedule.label) if is_own_grid else TUNED_LEVELS
    tuned_grid = Grid(numbers.levels)
    return replace(
        cell,
        sampler=sampler,
        grid=tuned_grid,
        steps=len(tuned_grid),
        schedule=TunedGrid(label, digest),
    )


def resolve_levels(sampler: Sampler, grid: Grid) -> tuple[Sampler, Grid]:
    """Return a sampler and the grid that it steps along; its own levels become a table of coefficients."""
    if not (sampler.own_grid and hasattr(sampler, "method")):
        return sampler, grid
    levels, method = sampler.levels(grid), sampler.method(grid)  # type: ignore[attr-defined]
    if untabulable(method, levels):
        return sampler, grid
    return Tabulated(stands_for=_bare(sampler), table=tabulate(method, levels)), levels


def _bare(sampler: Sampler) -> Sampler:
    """Return the sampler without what was found for the model, which a table stands for."""
    return replace(sampler, found=None) if getattr(sampler, "found", None) else sampler  # type: ignore[call-arg]


def fittable(cell: Cell, what: FreeKind, model: Denoiser) -> bool:
    """Return True if a configuration can be fitted: two steps or more, to 0 from a finite level, without
    noise. Where levels are to move, an evaluation must cost the same at every level.
    """
    if cell.skip or cell.grid is None or cell.infinite or not cell.grid.to_zero:
        return False
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    own = sampler.own_grid or getattr(sampler, "of_checkpoint", False)
    if own or sampler.stochastic or sampler.adaptive or sampler.batch_coupled or len(grid) < 2:
        return False
    if what != "coefficients":
        costs = {
            model.passes_at(sigma) for sigma in np.geomspace(cell.sigma_min, cell.sigma_max, 64)
        }
        if isinstance(sampler, Tabulated) or grid.sigma[0] != cell.sigma_max or len(costs) > 1:
            return False
    return what == "levels" or not untabulable(sampler, grid)


def evaluations_of(steps: int, what: FreeKind) -> float:
    """Return about how many evaluations an iteration of a fit takes."""
    whole = EQUATIONS * steps + len(DAMPINGS) * CHOOSING * steps
    levels = steps * steps
    # a run by another coefficient begins at the step that has it
    older = steps if steps <= WHOLE else OLDER
    coefficients = sum((1 + min(i, older)) * (steps - 1 - i) for i in range(steps))
    costs = {"levels": levels, "coefficients": coefficients, "both": coefficients + levels}[what]
    return whole + EQUATIONS * costs


@dataclass(frozen=True)
class Tune(CellTask):
    """Fit the numbers of a configuration to where latents from :data:`START` on lead.

    Attributes:
        starts: grids to begin on, of which the best is taken; the cell's if there are none.
        what: is fitted.
        ends: where the latents lead, ``(n, *event)``.
        seconds: that it may take, about.
        deadline: by the clock of the wall, when it ends at the latest.
    """

    starts: tuple[Grid, ...]
    what: FreeKind
    ends: NDArray
    seconds: float
    deadline: float

    def __call__(self, world: WorkerContext, tell: Tell) -> tuple[FittedNumbers | None, bool]:  # noqa: ARG002
        """Return the numbers, None where none are better, and whether the search came to its end."""
        started, cell = time.perf_counter(), self.cell
        seconds = min(self.seconds, self.deadline - time.time())
        assert cell.grid is not None
        model = world.subject(cell.model).model
        sampler, own = resolve_levels(cell.sampler, cell.grid)
        ids = torch.arange(START, START + len(self.ends), device=cell.device)
        ends = torch.from_numpy(self.ends).to(cell.device)
        runs = Runs(model, ids, cell.seed, begin(model, cell, ids)[0], ends, cell.batch_size)

        def error(grid: Grid, part: slice) -> float:
            return mean(runs.off(sampler, grid, part), 0)

        def late() -> bool:
            return time.perf_counter() - started > seconds

        starts = self.starts or (own,)
        if self.what != "coefficients":
            starts = [projected(grid, model.sigma_min, model.sigma_max) for grid in starts]
        fitted, choosing = slice(EQUATIONS), slice(EQUATIONS, None)
        first = starts[0] if len(starts) == 1 else min(starts, key=lambda g: error(g, fitted))
        older = None if len(first) <= WHOLE else OLDER
        free = FreeParameters(sampler, first, model.sigma_min, model.sigma_max, self.what, older)
        result = fit(free, runs.off, EQUATIONS, late=late)
        better = result.after < error(own, choosing)
        return (FittedNumbers.of(result.sampler, result.grid) if better else None), result.ended
