"""Fits of the races' leaders to the model, on latents that no race and no score uses."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...models.denoiser import Denoiser
from ...samplers import Grid
from ...samplers.families.tabulated import Tabulated, why_not_tabulable
from ..running.executors import Failure, Tell
from ..running.executors.tasks import CellTask
from ..running.executors.worker_context import WorkerContext
from ..sampling.batch import first_states_and_noise
from ..suites.cell import Cell
from ..tuning.free_parameters import FreeKind, FreeParameters, project_grid
from ..tuning.least_squares import DAMPINGS, Runs, fit, power_mean_of_rows
from .candidates import FittedNumbers, resolve_levels, tuned_cell
from .exports import LIBRARIES
from .measuring import RULE
from .request import OWN_FIELDS, Entry
from .run import AdviceRun, BudgetResult

START = 1 << 17
"""Sample id of the first latent of the fits; races and scores use smaller ids."""
EQUATIONS, CHOOSING = 64, 32
"""Number of latents to fit parameters to, and number of latents to choose the damping on."""
MOST_STEPS_WITH_ALL_WEIGHTS, OLDER_WEIGHTS = 12, 4
"""Most steps for which all weights of older images are free; for more steps, each row has OLDER_WEIGHTS."""

KINDS: tuple[FreeKind, ...] = ("both", "coefficients")
"""Kinds of fit of a leader; the first possible one is made."""
KINDS_OF_LIBRARY: tuple[FreeKind, ...] = ("levels",)
"""Kinds of fit of a library's built-in solvers."""


def can_be_fitted(cell: Cell, kind: FreeKind, model: Denoiser) -> bool:
    """Return True if a cell is deterministic, ends at 0, and has parameters of ``kind`` to fit."""
    if cell.skip or cell.grid is None or cell.infinite or not cell.grid.to_zero:
        return False
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    varies = sampler.stochastic or sampler.adaptive or sampler.batch_coupled
    if sampler.own_grid or varies or len(grid) < 2:
        return False
    if kind != "coefficients":  # no levels if the cost of an evaluation depends on them
        levels = np.geomspace(cell.sigma_min, cell.sigma_max, 64)
        costs = {model.passes_at(sigma) for sigma in levels}
        if grid.sigma[0] != cell.sigma_max or len(costs) > 1:
            return False
    if kind == "levels" and isinstance(sampler, Tabulated):  # its coefficients suit its levels only
        return False
    return kind == "levels" or not why_not_tabulable(sampler, grid)


@dataclass(frozen=True)
class FitTask(CellTask):
    """Task that fits a cell's levels, coefficients or both to converged endpoints.

    Attributes:
        starts: grids to try, of which the fit starts from the best; empty for the cell's own grid.
        ends: converged endpoints ``(n, *event)`` of the latents from :data:`START` on.
        seconds: approximate time that the fit may take.
        deadline: time by which the fit stops, as ``time.time()`` gives it.
    """

    starts: tuple[Grid, ...]
    kind: FreeKind
    ends: NDArray
    seconds: float
    deadline: float

    def __call__(self, context: WorkerContext, tell: Tell) -> tuple[FittedNumbers | None, bool]:  # noqa: ARG002
        """Return fitted numbers, None if not better than the cell's, and True if time sufficed."""
        started, cell = time.perf_counter(), self.cell
        seconds = min(self.seconds, self.deadline - time.time())
        assert cell.grid is not None
        model = context.load(cell.model).model
        sampler, own = resolve_levels(cell.sampler, cell.grid)
        ids = torch.arange(START, START + len(self.ends), device=cell.device)
        ends = torch.from_numpy(self.ends).to(cell.device)
        first_states, _ = first_states_and_noise(model, cell, ids)
        runs = Runs(model, ids, cell.seed, first_states, ends, cell.batch_size)

        def error(grid: Grid, part: slice) -> float:
            return power_mean_of_rows(runs.differences_from_ends(sampler, grid, part), 0)

        def late() -> bool:
            return time.perf_counter() - started > seconds

        starts = self.starts or (own,)
        if self.kind != "coefficients":
            starts = [project_grid(grid, model.sigma_min, model.sigma_max) for grid in starts]
        fitted, choosing = slice(EQUATIONS), slice(EQUATIONS, None)
        first = starts[0] if len(starts) == 1 else min(starts, key=lambda g: error(g, fitted))
        older = None if len(first) <= MOST_STEPS_WITH_ALL_WEIGHTS else OLDER_WEIGHTS
        free = FreeParameters(sampler, first, model.sigma_min, model.sigma_max, self.kind, older)
        result = fit(free, runs.differences_from_ends, EQUATIONS, late=late)
        better = result.after < error(own, choosing)
        return (FittedNumbers.of(result.sampler, result.grid) if better else None), result.ended


SHARE = 0.5
"""Largest share of the time of races and fits that the fits may take."""
ITERATIONS = 3
"""Number of iterations assumed in the planned time of a fit."""
GENEROUS = 1.5
"""Multiple of its proportional share of the time that a fit may take."""
LEADERS_PER_FIELD = 2
"""Number of leaders to fit in a field of a library's built-in solvers; in other fields one."""


class FitTarget(NamedTuple):
    """Fit to make: ``kind`` of numbers, entries of one sampler, fields of a race that they lead."""

    budget: int
    entries: list[Entry]
    kind: FreeKind
    fields: list[str]

    @property
    def entry(self) -> Entry:
        """Entry whose cell is fitted, the first; the others give grids to start from."""
        return self.entries[0]

    @property
    def cost(self) -> float:
        """Approximate number of evaluations that the fit takes."""
        assert self.entry.cell.grid is not None
        return _evaluations_of_fit(self.budget, len(self.entry.cell.grid), self.kind)

    @property
    def name(self) -> str:
        """Key of the fit in ``AdviceRun.failures``."""
        return f"{self.entry.cell.label} at {self.budget}, {self.kind} fitted"


def _evaluations_of_fit(budget: int, steps: int, kind: FreeKind) -> float:
    whole = (EQUATIONS + len(DAMPINGS) * CHOOSING) * steps
    levels = steps * steps
    # to vary a coefficient, a run starts at the step of this coefficient
    older = steps if steps <= MOST_STEPS_WITH_ALL_WEIGHTS else OLDER_WEIGHTS
    coefficients = sum((1 + min(i, older)) * (steps - 1 - i) for i in range(steps))
    costs = {"levels": levels, "coefficients": coefficients, "both": coefficients + levels}[kind]
    return ITERATIONS * (whole + EQUATIONS * costs) * budget / steps


def share_for_fits(run: AdviceRun) -> float:
    """Return the share of the time limit to keep for fits; 0 if no budget's fits have time."""
    total, seconds = 60 * run.clock.minutes, [_seconds_for_fits(run, [n]) for n in run.budgets]
    available = SHARE * max(run.races_end_share - run.clock.share_spent, 0.0)
    if min(filter(None, seconds), default=math.inf) > available * total:
        return 0.0
    return min(_seconds_for_fits(run, run.budgets) / total, available)


def _seconds_for_fits(run: AdviceRun, budgets: Sequence[int]) -> float:
    passes, others = run.request.model.passes, len(LIBRARIES) - 2  # python and the node have all
    steps = {n: n // passes for n in budgets if n // passes > 1}
    fits = sum(
        _evaluations_of_fit(n, k, "both") + others * _evaluations_of_fit(n, k, "levels")
        for n, k in steps.items()
    )
    return (fits + _evaluations_of_endpoints(run)) / run.rate if steps else 0.0


def _evaluations_of_endpoints(run: AdviceRun) -> float:
    steps = 4 * RULE.first if run.endpoints.steps is None else run.endpoints.steps
    return (EQUATIONS + CHOOSING) * steps * run.request.model.passes


def fit_leaders(
    run: AdviceRun, races: Sequence[BudgetResult]
) -> tuple[dict[int, list[Entry]], list[str]]:
    """Fit the races' leaders until :attr:`.AdviceRun.races_end_share` of the time limit is over.

    Return fitted entries by budget, and sentences on budgets whose fits failed or had no time.
    """
    seconds = run.clock.seconds_until(run.races_end_share)
    seconds -= _evaluations_of_endpoints(run) / run.rate
    wanted = [target for race in races for target in _targets(run, race)]
    targets = list(_affordable_targets(run, wanted, seconds))
    entries: dict[int, list[Entry]] = {}
    if targets:
        run.progress("fitting levels and coefficients")
        for target, numbers in _fit_targets(run, targets):
            fitted = entries.setdefault(target.budget, [])
            if numbers is not None:
                fitted.append(run.request.entry(tuned_cell(target.entry.cell, numbers)))
    failed = {t.budget: run.failures[t.name] for t in wanted if t.name in run.failures}
    without = sorted({target.budget for target in wanted} - set(entries))
    open_fits = [
        f"With {n} evaluations noise levels and coefficients could not be fitted: {failed[n]}."
        for n in without
        if n in failed
    ]
    if late := ", ".join(str(n) for n in without if n not in failed):
        no_time = f"With {late} evaluations there was no time to fit noise levels and coefficients."
        open_fits.insert(0, no_time)
    return entries, open_fits


def _targets(run: AdviceRun, race: BudgetResult) -> Iterator[FitTarget]:
    """Yield the fits to make for a race's leaders, each once, with all numbers that can be fitted."""
    model = run.request.model
    targets: dict[tuple[str, FreeKind], FitTarget] = {}
    own = {*OWN_FIELDS.values(), *(set(LIBRARIES[1:]) - set(OWN_FIELDS))}
    for name, ranked in race.survivors.items():
        for entry in ranked[: LEADERS_PER_FIELD if name in own else 1]:
            kinds = KINDS_OF_LIBRARY if name in own else KINDS
            possible: Iterator[FreeKind] = (k for k in kinds if can_be_fitted(entry.cell, k, model))
            kind = next(possible, None)
            if kind is None:
                continue
            new = FitTarget(race.budget, [], kind, [])
            target = targets.setdefault((entry.cell.label, kind), new)
            if entry not in target.entries:
                target.entries.append(entry)
            if name not in target.fields:
                target.fields.append(name)
    yield from targets.values()


def _affordable_targets(
    run: AdviceRun, targets: Sequence[FitTarget], seconds: float
) -> Iterator[FitTarget]:
    """Yield targets that fit in ``seconds``: the requested library's first, then the cheapest."""
    library = run.request.library
    own = {library, OWN_FIELDS.get(library, "")}
    for target in sorted(targets, key=lambda t: (own.isdisjoint(t.fields), t.cost)):
        if target.cost / run.rate <= seconds:
            seconds -= target.cost / run.rate
            yield target


def _fit_targets(
    run: AdviceRun, targets: Sequence[FitTarget]
) -> Iterator[tuple[FitTarget, FittedNumbers | None]]:
    """Yield each target with its fitted numbers, or None if the fit is no better than the cell.

    A stored fit that did not finish is made again if it has more time now. If the new fit fails or is late,
    the stored fit counts. A target with neither is left out.
    """
    ends = run.endpoints.fetch(START, START + EQUATIONS + CHOOSING)
    keys = [f"fitted {run.endpoints.steps} {t.entry.cell.key} {t.kind}" for t in targets]
    late, whole = run.clock.late_after(run.races_end_share), sum(t.cost for t in targets)
    seconds = max(run.clock.seconds_until(run.races_end_share), 1.0)
    deadline = time.time() + seconds
    todo, tasks = [], []
    for number, target in enumerate(targets):
        share = min(GENEROUS * run.executor.size * target.cost / whole, 1.0) * seconds
        stored = run.store.get(keys[number])
        if stored is None or (stored[2] is not None and stored[2] < share):
            todo.append(number)
            cell, starts = target.entry.cell, _starting_grids(run, target)
            tasks.append(FitTask(cell, starts, target.kind, ends, share, deadline))
    for which, outcome in run.executor.map(tasks, run.context, wanted=lambda _: not late()):
        number = todo[which]
        if isinstance(outcome, Failure):
            run.failures[targets[number].name] = outcome.reason
            continue
        numbers, ended = outcome
        fitted = [numbers.levels, numbers.rows] if numbers else [None, []]
        run.store.put(keys[number], [*fitted, None if ended else tasks[which].seconds])
    for key, target in zip(keys, targets, strict=True):
        if (stored := run.store.get(key)) is not None:
            levels, rows, _ = stored
            yield target, None if levels is None else FittedNumbers.read(levels, rows)


def _starting_grids(run: AdviceRun, target: FitTarget) -> tuple[Grid, ...]:
    """Return grids to fit from: the entries' own, and some one step longer; () for the cell's."""
    # the longer ones are without their lowest positive level
    if target.kind == "coefficients" or target.entry.cell.sampler.own_grid:
        return ()
    starts: list[Grid] = []
    for entry in target.entries:
        cell = entry.cell
        assert cell.grid is not None
        size = len(cell.grid) + 1
        budget = math.ceil(target.budget * size / (size - 1))
        more = run.request.plan_cells([cell.label], [cell.schedule.label], budget)
        longer = [other.grid for other in more if other.grid and len(other.grid) == size]
        starts += [cell.grid, *(Grid((*grid.sigma[:-2], 0.0)) for grid in longer)]
    return tuple(starts)
