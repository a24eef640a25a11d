"""Fits of a race's leaders to the model, on latents that nothing else uses, and the race with them."""

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
from ..tuning.free import FreeKind, FreeParameters, project_grid
from ..tuning.least_squares import DAMPINGS, Runs, fit, power_mean_of_rows
from .answer import TUNED_LEVELS
from .budget_race import RaceResult, race_again
from .exports import LIBRARIES
from .measuring import RULE, Bench
from .request import OWN_FIELDS, Entry
from .run import Run

START = 1 << 17
"""First latent: neither a race nor a score uses so many."""
EQUATIONS, CHOOSING = 64, 32
"""Latents that numbers are fitted to, and that choose how far."""
WHOLE, OLDER = 12, 4
"""Of more steps than this, so many older weights of each are free, and not all."""


class FittedNumbers(NamedTuple):
    """Levels of a grid, from sigma_max to 0, and the coefficients in place of a sampler's; None where these stay."""

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
    """Stand-in for the schedule of fitted levels, with a digest of them and the coefficients.

    The label is :data:`.TUNED_LEVELS`, or the schedule where its levels stay; "" for the sampler's own.
    """

    label: str
    digest: str

    def facts(self, n: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the facts of a cell's key."""
        return {"tuning_digest": self.digest}

    def without_search_results(self) -> TunedGrid:
        """Return itself."""
        return self


def tuned_cell(cell: Cell, numbers: FittedNumbers) -> Cell:
    """Return the cell with fitted numbers in place of its levels and coefficients."""
    digest = hashlib.sha256(canonical_json([numbers.levels, numbers.rows]).encode()).hexdigest()[:8]
    sampler, grid = resolve_levels(cell.sampler, cell.grid) if cell.grid else (cell.sampler, None)
    if numbers.table is not None:
        sampler = Tabulated(stands_for=_without_search_results(cell.sampler), table=numbers.table)
    is_own_grid = grid is not None and grid.sigma == numbers.levels
    label = ("" if cell.sampler.own_grid else cell.schedule.label) if is_own_grid else TUNED_LEVELS
    grid, schedule = Grid(numbers.levels), TunedGrid(label, digest)
    return replace(cell, sampler=sampler, grid=grid, steps=len(grid), schedule=schedule)


def resolve_levels(sampler: Sampler, grid: Grid) -> tuple[Sampler, Grid]:
    """Return a sampler and the grid that it steps along; its own levels become a table of coefficients."""
    if not (sampler.own_grid and hasattr(sampler, "method")):
        return sampler, grid
    levels, method = sampler.levels(grid), sampler.method(grid)  # type: ignore[attr-defined]
    if why_not_tabulable(method, levels):
        return sampler, grid
    return Tabulated(
        stands_for=_without_search_results(sampler), table=tabulate(method, levels)
    ), levels


def _without_search_results(sampler: Sampler) -> Sampler:
    """Return the sampler without what was found for the model, which a table stands for."""
    return replace(sampler, found=None) if getattr(sampler, "found", None) else sampler  # type: ignore[call-arg]


def can_be_fitted(cell: Cell, what: FreeKind, model: Denoiser) -> bool:
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
        levels = np.geomspace(cell.sigma_min, cell.sigma_max, 64)
        costs = {model.passes_at(sigma) for sigma in levels}
        if isinstance(sampler, Tabulated) or grid.sigma[0] != cell.sigma_max or len(costs) > 1:
            return False
    return what == "levels" or not why_not_tabulable(sampler, grid)


@dataclass(frozen=True)
class FitTask(CellTask):
    """Fit of the numbers of a configuration to where latents from :data:`START` on lead.

    Attributes:
        starts: grids to begin on, of which the best is taken; the cell's if there are none.
        what: is fitted.
        ends: where the latents lead, ``(n, *event)``.
        seconds, deadline: that it may take, about; and when it ends at the latest, by the clock of the wall.
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
        first_states, _ = first_states_and_noise(model, cell, ids)
        runs = Runs(model, ids, cell.seed, first_states, ends, cell.batch_size)

        def error(grid: Grid, part: slice) -> float:
            return power_mean_of_rows(runs.differences_from_ends(sampler, grid, part), 0)

        def late() -> bool:
            return time.perf_counter() - started > seconds

        starts = self.starts or (own,)
        if self.what != "coefficients":
            starts = [project_grid(grid, model.sigma_min, model.sigma_max) for grid in starts]
        fitted, choosing = slice(EQUATIONS), slice(EQUATIONS, None)
        first = starts[0] if len(starts) == 1 else min(starts, key=lambda g: error(g, fitted))
        older = None if len(first) <= WHOLE else OLDER
        free = FreeParameters(sampler, first, model.sigma_min, model.sigma_max, self.what, older)
        result = fit(free, runs.differences_from_ends, EQUATIONS, late=late)
        better = result.after < error(own, choosing)
        return (FittedNumbers.of(result.sampler, result.grid) if better else None), result.ended


SHARE = 0.5
"""Share that the fits may take of the time of races and fits together."""
ITERATIONS = 3
"""Iterations of a fit that there is to be time for."""
GENEROUS = 1.5
"""Multiple of its share of the time that a fit may take."""
OF_EACH = 2
"""Configurations of each field whose levels are fitted."""

Untuned = dict[int, dict[str, Entry]]
"""Leaders of each field before anything was fitted, of the budgets where something was."""


class FitTarget(NamedTuple):
    """Sampler to fit at a budget: its configurations among the leaders, the best first; what is free; and the
    fields that it is fitted for.
    """

    budget: int
    entries: list[Entry]
    what: FreeKind
    leads: list[str]

    @property
    def entry(self) -> Entry:
        """The best of its configurations."""
        return self.entries[0]

    @property
    def cost(self) -> float:
        """Evaluations that a fit takes, about."""
        assert self.entry.cell.grid is not None
        return _evaluations_of_fit(self.budget, len(self.entry.cell.grid), self.what)

    @property
    def name(self) -> str:
        """Name of a failing fit among the failures."""
        return f"{self.entry.cell.label} at {self.budget}, {self.what} fitted"


def _evaluations_of_fit(budget: int, steps: int, what: FreeKind) -> float:
    """Return about how many evaluations a fit of a sampler takes, whose steps make a budget's evaluations."""
    whole = (EQUATIONS + len(DAMPINGS) * CHOOSING) * steps
    levels = steps * steps
    # a run by another coefficient begins at the step that has it
    older = steps if steps <= WHOLE else OLDER
    coefficients = sum((1 + min(i, older)) * (steps - 1 - i) for i in range(steps))
    costs = {"levels": levels, "coefficients": coefficients, "both": coefficients + levels}[what]
    return ITERATIONS * (whole + EQUATIONS * costs) * budget / steps


def seconds_for_fits(bench: Bench, budgets: Sequence[int]) -> float:
    """Return the seconds that the usual number of fits takes on all workers, endpoints included."""
    passes, others = bench.request.model.passes, len(LIBRARIES) - 1
    steps = {n: n // passes for n in budgets if n // passes > 1}
    fits = sum(
        _evaluations_of_fit(n, k, "coefficients") + others * _evaluations_of_fit(n, k, "levels")
        for n, k in steps.items()
    )
    return (fits + _evaluations_of_endpoints(bench)) / bench.rate if steps else 0.0


def _evaluations_of_endpoints(bench: Bench) -> float:
    """Return about how many evaluations the endpoints of all fits' latents take."""
    steps = 4 * RULE.first if bench.truth.steps is None else bench.truth.steps
    return (EQUATIONS + CHOOSING) * steps * bench.request.model.passes


def fit_leaders(
    run: Run, bench: Bench, races: Sequence[RaceResult], until: float
) -> tuple[list[RaceResult], Untuned, list[str]]:
    """Return races in which fits of the leaders take part, done by the share ``until`` of the time; the leaders
    before; and what there was no time for, in words.
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
                # a configuration with what was found for it, for those libraries that have lines for it
                cell = tuned_cell(target.entry.cell, numbers)
                entries[target.budget].append(run.request.entry(cell, exported=True))
    results, untuned, truth = [], Untuned(), bench.truth
    finest = (truth.steps or 0, truth.resolution)
    for race in races:
        own = entries[race.budget]
        if own:
            run.progress(f"{race.budget} evaluations: racing what was fitted")
            untuned[race.budget] = {name: ranked[0] for name, ranked in race.survivors.items()}
        results.append(race_again(bench, race, own, run.clock.until(until)) if own else race)
        finest = max(finest, (truth.steps or 0, truth.resolution))
    truth.steps, truth.resolution = finest
    return results, untuned, list(_open_questions(bench, wanted, done))


def _open_questions(bench: Bench, wanted: Sequence[FitTarget], done: set[int]) -> Iterator[str]:
    """Yield sentences on fits that were wanted and not made, and why."""
    failed = {t.budget: bench.failures[t.name] for t in wanted if t.name in bench.failures}
    none = sorted({t.budget for t in wanted} - done)
    if late := ", ".join(str(n) for n in none if n not in failed):
        yield f"At {late} evaluations there was no time to fit levels and coefficients."
    for n in none:
        if n in failed:
            yield f"At {n} evaluations levels and coefficients could not be fitted: {failed[n]}."


def _targets(run: Run, race: RaceResult) -> Iterator[FitTarget]:
    """Yield what to fit: coefficients of the leader where a library takes numbers, and levels of its own solvers."""
    targets: dict[tuple[str, FreeKind], FitTarget] = {}
    own = {*OWN_FIELDS.values(), *(set(LIBRARIES[1:]) - set(OWN_FIELDS))}
    for name, ranked in race.survivors.items():
        for entry in ranked[: OF_EACH if name in own else 1]:
            free: FreeKind = "coefficients" if entry.cell.sampler.own_grid else "both"
            kind: FreeKind = "levels" if name in own else free
            if not can_be_fitted(entry.cell, kind, run.request.model):
                continue
            new = FitTarget(race.budget, [], kind, [])
            target = targets.setdefault((entry.cell.label, kind), new)
            if entry not in target.entries:
                target.entries.append(entry)
            if name not in target.leads:
                target.leads.append(name)
    yield from targets.values()


def _affordable_targets(
    run: Run, bench: Bench, targets: Sequence[FitTarget], seconds: float
) -> Iterator[FitTarget]:
    """Yield the targets that there is time for: the requested library's first, and the cheapest first."""
    own = {run.library, OWN_FIELDS.get(run.library, "")}
    for target in sorted(targets, key=lambda t: (own.isdisjoint(t.leads), t.cost)):
        if target.cost / bench.rate <= seconds:
            seconds -= target.cost / bench.rate
            yield target


def _fit_targets(
    run: Run, bench: Bench, targets: Sequence[FitTarget], until: float
) -> Iterator[tuple[FitTarget, FittedNumbers | None]]:
    """Yield each target's numbers, None where no fit was better. Stored ones are searched again only with
    more time than before.
    """
    ends = bench.truth.ends(START, START + EQUATIONS + CHOOSING)
    keys = [f"fitted {bench.truth.steps} {t.entry.cell.key} {t.what}" for t in targets]
    late, whole = run.clock.until(until), sum(target.cost for target in targets)
    seconds = max(60 * run.clock.minutes * until - run.clock.spent, 1.0)
    deadline = time.time() + seconds
    stored = {n: bench.store.get(key) for n, key in enumerate(keys)}
    todo, tasks = [], []
    for number, target in enumerate(targets):
        share = min(GENEROUS * run.executor.size * target.cost / whole, 1.0) * seconds
        previous = stored[number]
        if previous is not None and (previous[2] is None or previous[2] >= share):
            yield target, _read_fit(previous)
        else:
            todo.append(number)
            cell, starts = target.entry.cell, _starting_grids(run, target)
            tasks.append(FitTask(cell, starts, target.what, ends, share, deadline))
    for which, outcome in run.executor.map(tasks, bench.world, wanted=lambda _: not late()):
        number = todo[which]
        if isinstance(outcome, Failure):
            bench.failures[targets[number].name] = outcome.reason
            continue
        numbers, ended = outcome
        spent = None if ended else tasks[which].seconds
        fitted = [numbers.levels, numbers.rows] if numbers else [None, []]
        bench.store.put(keys[number], [*fitted, spent])
        stored.pop(number)
        yield targets[number], numbers
    for number in todo:
        if stored.get(number) is not None:  # there was no time, and it is better than nothing
            yield targets[number], _read_fit(stored[number])


def _read_fit(stored: Sequence[Any]) -> FittedNumbers | None:
    levels, rows, _ = stored
    return None if levels is None else FittedNumbers.read(levels, rows)


def _starting_grids(run: Run, target: FitTarget) -> tuple[Grid, ...]:
    """Return the configurations' grids, and those of one step more without the lowest level, often a waste."""
    if target.what == "coefficients":
        return ()
    starts: list[Grid] = []
    for entry in target.entries:
        cell = entry.cell
        assert cell.grid is not None
        size = len(cell.grid) + 1
        budget = math.ceil(target.budget * size / (size - 1))
        more = run.request.cells([cell.label], [cell.schedule.label], budget)
        longer = [other.grid for other in more if other.grid and len(other.grid) == size]
        starts += [cell.grid, *(Grid((*grid.sigma[:-2], 0.0)) for grid in longer)]
    return tuple(starts)
