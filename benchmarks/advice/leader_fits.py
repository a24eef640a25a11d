"""Fits of a race's leaders to the model, on separate latents, and a race of the results."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...models.denoiser import Denoiser
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import Table, TableRow, Tabulated, tabulate, why_not_tabulable
from ...samplers.spec import canonical_json
from ..running.executors import Failure, Tell
from ..running.executors.tasks import CellTask
from ..running.executors.worker_context import WorkerContext
from ..sampling.batch import first_states_and_noise
from ..suites.cell import Cell
from ..tuning.free_parameters import FreeKind, FreeParameters, project_grid
from ..tuning.least_squares import DAMPINGS, Runs, fit, power_mean_of_rows
from .answer import TUNED_LEVELS
from .budget_race import RaceResult, race_again
from .exports import LIBRARIES
from .measuring import RULE, Bench
from .request import OWN_FIELDS, Entry
from .run import Run

START = 1 << 17
"""Sample id of the first latent of the fits; races and scores use smaller ids."""
EQUATIONS, CHOOSING = 64, 32
"""Number of latents to fit parameters to, and number of latents to choose the damping on."""
WHOLE, OLDER = 12, 4
"""Most steps for which all weights of older images are free; for more steps, each row has OLDER."""

KINDS: tuple[FreeKind, ...] = ("both", "coefficients")
"""Kinds of fit of a leader; the first possible one is made."""
KINDS_OF_LIBRARY: tuple[FreeKind, ...] = ("levels",)
"""Kinds of fit of a library's built-in solvers."""


class FittedNumbers(NamedTuple):
    """Noise levels from sigma_max to 0, and a table of coefficients, None for the sampler's own."""

    levels: tuple[float, ...]
    table: Table | None

    @classmethod
    def of(cls, sampler: Sampler, grid: Grid) -> FittedNumbers:
        """Return a grid's levels, and the table of a :class:`.Tabulated` sampler or else None."""
        return cls(grid.sigma, sampler.table if isinstance(sampler, Tabulated) else None)

    @classmethod
    def read(cls, levels: Sequence[float], rows: Sequence[Sequence[float]]) -> FittedNumbers:
        """Read levels and :attr:`rows` from JSON values. Without rows, ``table`` is None."""
        table = tuple(TableRow(a, tuple(b)) for a, *b in rows)
        return cls(tuple(levels), table or None)

    @property
    def rows(self) -> list[list[float]]:
        """Table as lists, one a step: the weight of the state, then of the images; [] for None."""
        return [[row.a, *row.b] for row in self.table or ()]


@dataclass(frozen=True)
class FittedSchedule:
    """Schedule of a fitted cell, as a label and a digest of its levels and coefficients.

    ``label`` is :data:`.TUNED_LEVELS`; without fitted levels, the label of the cell's schedule or "".
    """

    label: str
    digest: str

    def facts(self, n: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the digest as ``tuning_digest``, for the key of a cell."""
        return {"tuning_digest": self.digest}

    def without_search_results(self) -> FittedSchedule:
        """Return the schedule itself, which has no search results."""
        return self


def tuned_cell(cell: Cell, numbers: FittedNumbers) -> Cell:
    """Return a cell with fitted levels and coefficients in place of its own."""
    digest = hashlib.sha256(canonical_json([numbers.levels, numbers.rows]).encode()).hexdigest()[:8]
    sampler, grid = resolve_levels(cell.sampler, cell.grid) if cell.grid else (cell.sampler, None)
    if numbers.table is not None:
        sampler = Tabulated(stands_for=_without_search_results(cell.sampler), table=numbers.table)
    is_own_grid = grid is not None and grid.sigma == numbers.levels
    label = ("" if cell.sampler.own_grid else cell.schedule.label) if is_own_grid else TUNED_LEVELS
    grid, schedule = Grid(numbers.levels), FittedSchedule(label, digest)
    return replace(cell, sampler=sampler, grid=grid, steps=len(grid), schedule=schedule)


def resolve_levels(sampler: Sampler, grid: Grid) -> tuple[Sampler, Grid]:
    """Return sampler and grid; for a sampler that sets its own levels, return its table and levels.

    If such a sampler cannot be tabulated, sampler and grid are returned unchanged.
    """
    if not (sampler.own_grid and hasattr(sampler, "method")):
        return sampler, grid
    levels, method = sampler.levels(grid), sampler.method(grid)  # type: ignore[attr-defined]
    if why_not_tabulable(method, levels):
        return sampler, grid
    return Tabulated(
        stands_for=_without_search_results(sampler), table=tabulate(method, levels)
    ), levels


def _without_search_results(sampler: Sampler) -> Sampler:
    """Return the sampler without its search results for a model (field ``found``)."""
    return replace(sampler, found=None) if getattr(sampler, "found", None) else sampler  # type: ignore[call-arg]


def can_be_fitted(cell: Cell, kind: FreeKind, model: Denoiser) -> bool:
    """Return True if a cell is deterministic, ends at 0, and has parameters of ``kind`` to fit."""
    if cell.skip or cell.grid is None or cell.infinite or not cell.grid.to_zero:
        return False
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    varies = sampler.stochastic or sampler.adaptive or sampler.batch_coupled
    if sampler.own_grid or varies or len(grid) < 2:
        return False
    if kind != "coefficients":
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
        starts: grids, of which the fit starts from the best; empty to start from the cell's grid.
        ends: converged endpoints ``(n, *event)`` of the latents from :data:`START` on.
        seconds: approximate time that the fit may take.
        deadline: time by which the fit stops, as ``time.time()`` gives it.
    """

    starts: tuple[Grid, ...]
    kind: FreeKind
    ends: NDArray
    seconds: float
    deadline: float

    def __call__(self, world: WorkerContext, tell: Tell) -> tuple[FittedNumbers | None, bool]:  # noqa: ARG002
        """Return fitted numbers (None if not better than the cell's), True if the fit finished."""
        started, cell = time.perf_counter(), self.cell
        seconds = min(self.seconds, self.deadline - time.time())
        assert cell.grid is not None
        model = world.load(cell.model).model
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
        older = None if len(first) <= WHOLE else OLDER
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
OF_EACH = 2
"""Number of leaders to fit in a field of a library's built-in solvers; in other fields one."""

Untuned = dict[int, dict[str, Entry]]
"""Leader of each field before the fits, by budget and field, for budgets where a fit was better."""


class FitTarget(NamedTuple):
    """Fit to make at a budget: a sampler's leading entries, numbers to fit, fields they lead in."""

    budget: int
    entries: list[Entry]
    kind: FreeKind
    fields: list[str]

    @property
    def entry(self) -> Entry:
        """First configuration, whose cell is fitted."""
        return self.entries[0]

    @property
    def cost(self) -> float:
        """Approximate number of evaluations that the fit takes."""
        assert self.entry.cell.grid is not None
        return _evaluations_of_fit(self.budget, len(self.entry.cell.grid), self.kind)

    @property
    def name(self) -> str:
        """Key of the fit in ``Bench.failures``."""
        return f"{self.entry.cell.label} at {self.budget}, {self.kind} fitted"


def _evaluations_of_fit(budget: int, steps: int, kind: FreeKind) -> float:
    """Return the approximate number of evaluations of a fit at this budget and number of steps."""
    whole = (EQUATIONS + len(DAMPINGS) * CHOOSING) * steps
    levels = steps * steps
    # to vary a coefficient, a run starts at the step of this coefficient
    older = steps if steps <= WHOLE else OLDER
    coefficients = sum((1 + min(i, older)) * (steps - 1 - i) for i in range(steps))
    costs = {"levels": levels, "coefficients": coefficients, "both": coefficients + levels}[kind]
    return ITERATIONS * (whole + EQUATIONS * costs) * budget / steps


def seconds_for_fits(bench: Bench, budgets: Sequence[int]) -> float:
    """Return approximate seconds, on all workers, of fits at these budgets, endpoints included."""
    passes, others = bench.request.model.passes, len(LIBRARIES) - 2  # python and the node have all
    steps = {n: n // passes for n in budgets if n // passes > 1}
    fits = sum(
        _evaluations_of_fit(n, k, "both") + others * _evaluations_of_fit(n, k, "levels")
        for n, k in steps.items()
    )
    return (fits + _evaluations_of_endpoints(bench)) / bench.rate if steps else 0.0


def _evaluations_of_endpoints(bench: Bench) -> float:
    """Return the approximate number of evaluations that the endpoints of the fits' latents take."""
    steps = 4 * RULE.first if bench.endpoints.steps is None else bench.endpoints.steps
    return (EQUATIONS + CHOOSING) * steps * bench.request.model.passes


def fit_leaders(
    run: Run, bench: Bench, races: Sequence[RaceResult], until: float
) -> tuple[list[RaceResult], Untuned, list[str]]:
    """Fit the races' leaders, and race the fits, until a share ``until`` of the run's time is over.

    Return the races' new results, the leaders before the fits, and sentences on fits that failed or had no time.
    """
    seconds = 60 * run.clock.minutes * until - run.clock.spent
    seconds -= _evaluations_of_endpoints(bench) / bench.rate
    wanted = [target for race in races for target in _targets(run, race)]
    targets = list(_affordable_targets(run, bench, wanted, seconds))
    entries: dict[int, list[Entry]] = {race.budget: [] for race in races}
    done = set()
    if targets:
        run.progress("fitting levels and coefficients")
        for target, numbers in _fit_targets(run, bench, targets, until):
            done.add(target.budget)
            if numbers is not None:
                # exported=True: only for libraries that can take these levels
                cell = tuned_cell(target.entry.cell, numbers)
                entries[target.budget].append(run.request.entry(cell, exported=True))
    results, untuned, endpoints = [], Untuned(), bench.endpoints
    finest = (endpoints.steps or 0, endpoints.resolution)
    for race in races:
        own = entries[race.budget]
        if own:
            run.progress(f"{race.budget} evaluations: racing what was fitted")
            untuned[race.budget] = {name: ranked[0] for name, ranked in race.survivors.items()}
        results.append(race_again(bench, race, own, run.clock.late_after(until)) if own else race)
        finest = max(finest, (endpoints.steps or 0, endpoints.resolution))
    endpoints.steps, endpoints.resolution = finest
    return results, untuned, list(_open_questions(bench, wanted, done))


def _open_questions(bench: Bench, wanted: Sequence[FitTarget], done: set[int]) -> Iterator[str]:
    """Yield sentences on budgets without a fit, for lack of time or because it failed."""
    failed = {t.budget: bench.failures[t.name] for t in wanted if t.name in bench.failures}
    none = sorted({t.budget for t in wanted} - done)
    if late := ", ".join(str(n) for n in none if n not in failed):
        yield f"With {late} evaluations there was no time to fit noise levels and coefficients."
    for n in none:
        if n in failed:
            yield f"With {n} evaluations noise levels and coefficients could not be fitted: {failed[n]}."


def _targets(run: Run, race: RaceResult) -> Iterator[FitTarget]:
    """Yield the fits to make: levels and coefficients, or only levels for built-in solvers.

    If the cost of an evaluation depends on the noise level, no levels are fitted.
    """
    model = run.request.model
    targets: dict[tuple[str, FreeKind], FitTarget] = {}
    own = {*OWN_FIELDS.values(), *(set(LIBRARIES[1:]) - set(OWN_FIELDS))}
    for name, ranked in race.survivors.items():
        for entry in ranked[: OF_EACH if name in own else 1]:
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
    run: Run, bench: Bench, targets: Sequence[FitTarget], seconds: float
) -> Iterator[FitTarget]:
    """Yield targets that fit in ``seconds``: the requested library's first, then the cheapest."""
    own = {run.library, OWN_FIELDS.get(run.library, "")}
    for target in sorted(targets, key=lambda t: (own.isdisjoint(t.fields), t.cost)):
        if target.cost / bench.rate <= seconds:
            seconds -= target.cost / bench.rate
            yield target


def _fit_targets(
    run: Run, bench: Bench, targets: Sequence[FitTarget], until: float
) -> Iterator[tuple[FitTarget, FittedNumbers | None]]:
    """Yield each target with its fitted numbers, or None if the fit is no better than the cell.

    A stored fit that did not finish is made again if it has more time now. A target keeps its stored fit if the
    new fit fails or is late. Without a stored fit, such a target is left out.
    """
    ends = bench.endpoints.fetch(START, START + EQUATIONS + CHOOSING)
    keys = [f"fitted {bench.endpoints.steps} {t.entry.cell.key} {t.kind}" for t in targets]
    late, whole = run.clock.late_after(until), sum(target.cost for target in targets)
    seconds = max(60 * run.clock.minutes * until - run.clock.spent, 1.0)
    deadline = time.time() + seconds
    todo, tasks = [], []
    for number, target in enumerate(targets):
        share = min(GENEROUS * run.executor.size * target.cost / whole, 1.0) * seconds
        stored = bench.store.get(keys[number])
        if stored is None or (stored[2] is not None and stored[2] < share):
            todo.append(number)
            cell, starts = target.entry.cell, _starting_grids(run, target)
            tasks.append(FitTask(cell, starts, target.kind, ends, share, deadline))
    for which, outcome in run.executor.map(tasks, bench.world, wanted=lambda _: not late()):
        number = todo[which]
        if isinstance(outcome, Failure):
            bench.failures[targets[number].name] = outcome.reason
            continue
        numbers, ended = outcome
        fitted = [numbers.levels, numbers.rows] if numbers else [None, []]
        bench.store.put(keys[number], [*fitted, None if ended else tasks[which].seconds])
    for key, target in zip(keys, targets, strict=True):
        if (stored := bench.store.get(key)) is not None:
            levels, rows, _ = stored
            yield target, None if levels is None else FittedNumbers.read(levels, rows)


def _starting_grids(run: Run, target: FitTarget) -> tuple[Grid, ...]:
    """Return grids from which a fit of levels starts; () to start from the cell's own levels.

    They are the cells' grids, and grids of one more step without their lowest positive level.
    """
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
