"""What leads a race is fitted to the model, where there is time, and races again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ....samplers import Grid
from ...running.executing import Failure
from ...tuning.free import What
from ..asked.subject import OWN, Entry
from ..exports import LIBRARIES
from ..racing.measuring import Bench
from ..racing.one_budget import Raced, raced_again
from ..racing.tuned import (
    CHOOSING,
    EQUATIONS,
    START,
    Numbers,
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
    """What is to be fitted.

    Attributes:
        budget: evaluations per sample.
        entry: of a race.
        what: is free.
        leads: the fields that it is fitted for.
    """

    budget: int
    entry: Entry
    what: What
    leads: tuple[str, ...]

    @property
    def cost(self) -> float:
        """Evaluations that a fit takes, about."""
        return evaluations(self.budget, self.what)


def evaluations(budget: int, what: What) -> float:
    """That a fit of a configuration of a budget takes, about."""
    return ITERATIONS * evaluations_of(budget, what)


def seconds_wanted(bench: Bench, budgets: Sequence[int]) -> float:
    """That fits of the usual number of configurations take, all workers at it."""
    fields = len(LIBRARIES) - 1
    return (
        sum(evaluations(n, "coefficients") + fields * evaluations(n, "levels") for n in budgets)
        / bench.rate
    )


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
    left = 60 * run.clock.minutes * until - run.clock.spent
    wanted = [target for race in races for target in _targets(race)]
    targets = list(_affordable(run, bench, wanted, left))
    entries: dict[int, list[Entry]] = {race.budget: [] for race in races}
    if targets:
        run.progress("fitting levels and coefficients")
        for target, numbers in _fitted(run, bench, targets, until):
            entries[target.budget].append(_entry(run, target, numbers))
    found, untuned, finest = [], {}, (bench.truth.steps or 0, bench.truth.resolution)
    for race in races:
        own = entries[race.budget]
        if own:
            run.progress(f"{race.budget} evaluations: racing what was fitted")
            untuned[race.budget] = {name: each[0] for name, each in race.left.items()}
        found.append(raced_again(bench, race, own, run.clock.until(until)) if own else race)
        finest = max(finest, (bench.truth.steps or 0, bench.truth.resolution))
    bench.truth.steps, bench.truth.resolution = finest
    return Tuned(found, untuned, tuple(_untold(bench, wanted, entries)))


def _untold(
    bench: Bench, wanted: Sequence[Target], entries: Mapping[int, Sequence[Entry]]
) -> Iterator[str]:
    """What was wanted and not fitted, and why."""
    failed = {
        t.budget: bench.failures[_failure(t)] for t in wanted if _failure(t) in bench.failures
    }
    none = sorted({t.budget for t in wanted if not entries[t.budget]})
    late = [str(n) for n in none if n not in failed]
    if late:
        at = ", ".join(late)
        yield f"At {at} evaluations there was no time to fit levels and coefficients."
    for n in none:
        if n in failed:
            yield f"At {n} evaluations levels and coefficients could not be fitted: {failed[n]}."


def _failure(target: Target) -> str:
    """The name that a failing fit has among the failures."""
    return f"{target.entry.label} at {target.budget}, {target.what} fitted"


def _targets(race: Raced) -> Iterator[Target]:
    """Coefficients of what leads for each library that takes numbers, and levels of the best solvers of those
    that have their own.
    """
    fields: dict[tuple[str, What], tuple[Entry, list[str]]] = {}
    own = (*OWN.values(), "comfyui")
    for name, each in race.left.items():
        for entry in each[: OF_EACH if name in own else 1]:
            free: What = "coefficients" if entry.cell.sampler.own_grid else "both"
            what = "levels" if name in own else free
            if fittable(entry.cell, what):
                fields.setdefault((entry.label, what), (entry, []))[1].append(name)
    for (_, what), (entry, leads) in fields.items():
        yield Target(race.budget, entry, what, tuple(leads))


def _affordable(
    run: Run, bench: Bench, targets: Sequence[Target], seconds: float
) -> Iterator[Target]:
    """What there is time for: first what is for the library that is asked about, the cheapest first."""
    own = {run.library, OWN.get(run.library, "")}

    def place(target: Target) -> tuple[bool, float]:
        leads = any(name in own for name in target.leads)
        return not leads, target.cost

    for target in sorted(targets, key=place):
        seconds -= target.cost / bench.rate
        if seconds < 0:
            return
        yield target


def _fitted(
    run: Run, bench: Bench, targets: Sequence[Target], until: float
) -> Iterator[tuple[Target, Numbers]]:
    """What was found for each, in their order; what is in the folder is not looked for again, unless there is more
    time than there was.
    """
    ends = bench.truth.ends(START, START + EQUATIONS + CHOOSING, bench.truth.steps or 0)
    keys = [f"fitted {bench.truth.steps} {t.entry.cell.key} {t.what}" for t in targets]
    late, whole = run.clock.until(until), sum(target.cost for target in targets)
    seconds = max(60 * run.clock.minutes * until - run.clock.spent, 1.0)
    todo, tasks = [], []
    for number, (target, key) in enumerate(zip(targets, keys, strict=True)):
        share = min(GENEROUS * run.executor.size * target.cost / whole, 1.0) * seconds
        kept = bench.store.get(key)
        if kept is not None and (kept[2] is None or kept[2] >= share):
            yield target, Numbers.read(*kept[:2])
            continue
        todo.append(number)
        starts = _starts(run, target)
        cell = target.entry.cell
        tasks.append(Tune(cell, starts, target.what, ends.astype("float32"), share))
    for which, found in run.executor.map(tasks, bench.world, wanted=lambda _: not late()):
        target, key = targets[todo[which]], keys[todo[which]]
        if isinstance(found, Failure):
            bench.failures[_failure(target)] = found.reason
            continue
        numbers, ended = found
        spent = None if ended else tasks[which].seconds
        bench.store.put(key, [list(numbers.levels), numbers.rows, spent])
        yield target, numbers


def _starts(run: Run, target: Target) -> tuple[Grid, ...]:
    """The grid of the configuration, and that of its schedule with one step more that leaves the model's lowest
    level out, where most schedules spend an evaluation in vain.
    """
    cell = target.entry.cell
    if target.what == "coefficients" or cell.grid is None:
        return ()
    more = run.asked.cells(
        [cell.label], [cell.schedule.label], target.budget + run.asked.model.passes
    )
    grids = [
        one.grid for one in more if one.grid is not None and len(one.grid) == len(cell.grid) + 1
    ]
    return (cell.grid, *(Grid((*grid.sigma[:-2], 0.0)) for grid in grids))


def _entry(run: Run, target: Target, numbers: Numbers) -> Entry:
    """The configuration with what was found for it, for those libraries that have lines for it."""
    cell = tuned_cell(target.entry.cell, numbers)
    return run.asked.entry(cell, exported=True)
