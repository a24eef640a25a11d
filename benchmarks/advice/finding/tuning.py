"""What leads a race is fitted to the model, where there is time, and races again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ....samplers import Grid
from ...running.executing import Failure
from ...tuning.free import FreeKind
from ..asked.subject import OWN_FIELDS, Entry
from ..exports import LIBRARIES
from ..racing.measuring import Bench
from ..racing.one_budget import Raced, raced_again
from ..racing.truth import RULE
from ..racing.tuned import (
    CHOOSING,
    EQUATIONS,
    START,
    FittedNumbers,
    Tune,
    evaluations_of,
    fittable,
    tuned_cell,
)
from .run import Run

SHARE = 0.5
"""Of the time of races and fits together, that the fits may take."""
ITERATIONS = 3
"""Iterations of a fit that there is to be time for."""
GENEROUS = 1.5
"""How many times its share of the time a fit may take."""
OF_EACH = 2
"""Configurations of each field whose levels are fitted."""


class Target(NamedTuple):
    """A sampler whose numbers are to be fitted.

    Attributes:
        budget: evaluations per sample.
        entries: its configurations that are among the leaders, the best first.
        what: is free.
        leads: the fields that it is fitted for.
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
        grid = self.entry.cell.grid
        return evaluations(self.budget, len(grid) if grid else self.budget, self.what)


def evaluations(budget: int, steps: int, what: FreeKind) -> float:
    """That a fit of a sampler takes, about, whose steps make the evaluations of a budget."""
    return ITERATIONS * evaluations_of(steps, what) * budget / steps


def seconds_wanted(bench: Bench, budgets: Sequence[int]) -> float:
    """That fits of the usual number of samplers take, with their endpoints, all workers at it."""
    passes, fields = bench.asked.model.passes, len(LIBRARIES) - 1
    steps = {n: n // passes for n in budgets if n // passes > 1}
    fits = sum(
        evaluations(n, k, "coefficients") + fields * evaluations(n, k, "levels")
        for n, k in steps.items()
    )
    return (fits + _endpoints(bench)) / bench.rate if steps else 0.0


def _endpoints(bench: Bench) -> float:
    """Evaluations that the endpoints of the latents of all fits take, about."""
    steps = 4 * RULE.first if bench.truth.steps is None else bench.truth.steps
    return (EQUATIONS + CHOOSING) * steps * bench.asked.model.passes


@dataclass(frozen=True)
class Tuned:
    """What came of the fits.

    Attributes:
        races: with what was fitted in place.
        untuned: the leaders of each field before, of the budgets where something was fitted.
        untold: what there was no time for, in words.
    """

    races: list[Raced]
    untuned: Mapping[int, Mapping[str, Entry]]
    untold: tuple[str, ...]


def tuned(run: Run, bench: Bench, races: Sequence[Raced], until: float) -> Tuned:
    """Races in which the leaders' fitted levels and coefficients take part.

    Args:
        run: the run.
        bench: where all is measured.
        races: of each budget.
        until: share of the time by which all is to be done.
    """
    left = 60 * run.clock.minutes * until - run.clock.spent - _endpoints(bench) / bench.rate
    wanted = [target for race in races for target in _targets(run, race)]
    targets = list(_affordable(run, bench, wanted, left))
    entries: dict[int, list[Entry]] = {race.budget: [] for race in races}
    done = set()
    if targets:
        run.progress("fitting levels and coefficients")
        for target, numbers in _fitted(run, bench, targets, until):
            done.add(target.budget)
            if numbers is not None:
                # a configuration with what was found for it, for those libraries that have lines for it
                cell = tuned_cell(target.entry.cell, numbers)
                entries[target.budget].append(run.asked.entry(cell, exported=True))
    found, untuned, finest = [], {}, (bench.truth.steps or 0, bench.truth.resolution)
    for race in races:
        own = entries[race.budget]
        if own:
            run.progress(f"{race.budget} evaluations: racing what was fitted")
            untuned[race.budget] = {name: each[0] for name, each in race.left.items()}
        found.append(raced_again(bench, race, own, run.clock.until(until)) if own else race)
        finest = max(finest, (bench.truth.steps or 0, bench.truth.resolution))
    bench.truth.steps, bench.truth.resolution = finest
    return Tuned(found, untuned, tuple(_untold(bench, wanted, done)))


def _untold(bench: Bench, wanted: Sequence[Target], done: set[int]) -> Iterator[str]:
    """What was wanted and not fitted, and why."""
    failed = {
        t.budget: bench.failures[_failure(t)] for t in wanted if _failure(t) in bench.failures
    }
    none = sorted({t.budget for t in wanted} - done)
    late = [str(n) for n in none if n not in failed]
    if late:
        at = ", ".join(late)
        yield f"At {at} evaluations there was no time to fit levels and coefficients."
    for n in none:
        if n in failed:
            yield f"At {n} evaluations levels and coefficients could not be fitted: {failed[n]}."


def _failure(target: Target) -> str:
    """The name that a failing fit has among the failures."""
    return f"{target.entry.cell.label} at {target.budget}, {target.what} fitted"


def _targets(run: Run, race: Raced) -> Iterator[Target]:
    """Coefficients of what leads for each library that takes numbers, and levels of the best solvers of those
    that have their own; of each sampler once.
    """
    found: dict[tuple[str, FreeKind], Target] = {}
    own = (*OWN_FIELDS.values(), "comfyui")
    for name, each in race.left.items():
        for entry in each[: OF_EACH if name in own else 1]:
            free: FreeKind = "coefficients" if entry.cell.sampler.own_grid else "both"
            what = "levels" if name in own else free
            if not fittable(entry.cell, what, run.asked.model):
                continue
            new = Target(race.budget, [], what, [])
            target = found.setdefault((entry.cell.label, what), new)
            if entry not in target.entries:
                target.entries.append(entry)
            if name not in target.leads:
                target.leads.append(name)
    yield from found.values()


def _affordable(
    run: Run, bench: Bench, targets: Sequence[Target], seconds: float
) -> Iterator[Target]:
    """What there is time for: first what is for the library that is asked about, the cheapest first."""
    own = {run.library, OWN_FIELDS.get(run.library, "")}

    def place(target: Target) -> tuple[bool, float]:
        return own.isdisjoint(target.leads), target.cost

    for target in sorted(targets, key=place):
        if target.cost / bench.rate <= seconds:
            seconds -= target.cost / bench.rate
            yield target


def _fitted(
    run: Run, bench: Bench, targets: Sequence[Target], until: float
) -> Iterator[tuple[Target, FittedNumbers | None]]:
    """What was found for each, None where nothing was better than it is. What is in the folder comes first, and is
    not looked for again unless there is more time than there was.
    """
    ends = bench.truth.ends(START, START + EQUATIONS + CHOOSING, bench.truth.steps or 0)
    keys = [f"fitted {bench.truth.steps} {t.entry.cell.key} {t.what}" for t in targets]
    late, whole = run.clock.until(until), sum(target.cost for target in targets)
    seconds = max(60 * run.clock.minutes * until - run.clock.spent, 1.0)
    deadline = time.time() + seconds
    kept = {n: bench.store.get(key) for n, key in enumerate(keys)}
    todo, tasks = [], []
    for number, target in enumerate(targets):
        share = min(GENEROUS * run.executor.size * target.cost / whole, 1.0) * seconds
        known = kept[number]
        if known is not None and (known[2] is None or known[2] >= share):
            yield target, _read(known)
            continue
        todo.append(number)
        starts = _starts(run, target)
        tasks.append(Tune(target.entry.cell, starts, target.what, ends, share, deadline))
    for which, found in run.executor.map(tasks, bench.world, wanted=lambda _: not late()):
        number = todo[which]
        if isinstance(found, Failure):
            bench.failures[_failure(targets[number])] = found.reason
            continue
        numbers, ended = found
        spent = None if ended else tasks[which].seconds
        levels = None if numbers is None else list(numbers.levels)
        bench.store.put(keys[number], [levels, [] if numbers is None else numbers.rows, spent])
        kept.pop(number)
        yield targets[number], numbers
    for number in todo:
        if kept.get(number) is not None:  # there was no time, and it is better than nothing
            yield targets[number], _read(kept[number])


def _read(kept: Sequence[Any]) -> FittedNumbers | None:
    """What the folder has of a fit."""
    levels, rows, _ = kept
    return None if levels is None else FittedNumbers.read(levels, rows)


def _starts(run: Run, target: Target) -> tuple[Grid, ...]:
    """The grids of the configurations, and those of their schedules with one step more that leave the model's
    lowest level out, where most schedules spend an evaluation in vain.
    """
    if target.what == "coefficients":
        return ()
    starts: list[Grid] = []
    for entry in target.entries:
        cell = entry.cell
        assert cell.grid is not None
        size = len(cell.grid) + 1
        more = run.asked.cells(
            [cell.label], [cell.schedule.label], math.ceil(target.budget * size / (size - 1))
        )
        longer = [one.grid for one in more if one.grid is not None and len(one.grid) == size]
        starts += [cell.grid, *(Grid((*grid.sigma[:-2], 0.0)) for grid in longer)]
    return tuple(starts)
