"""Race of each budget: the speed of the model, the time of every stage, and the order of trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...samplers.auto import ProbeData
from ..running.executors import Failure
from ..running.executors.worker_context import WorkerContext
from ..scoring.references import CARD
from .budget_race import RaceResult, race_budget
from .exports.equivalents import Steps, steps_of
from .fitting import SHARE, seconds_for_fits
from .measuring import FIRST, RULE, Bench
from .request import Entry
from .run import Run
from .tasks import measure_speeds, probe_model, search_rule

LEAST = 20
"""Configurations that the least race tries."""
BATCH = 8
"""Samples at a time at which the rate is measured, about as many as in a race's first rounds."""
COMPARED = 0.93
"""Share of the time at which all is measured but times and pictures."""


def measure_rates(run: Run, world: WorkerContext) -> tuple[float, float]:
    """Return evaluations a second of all workers together, and of one worker at a batch of one."""
    task = run.request.task(measure_speeds, (1, BATCH), 0.3)
    rates = []
    for _, outcome in run.executor.map([task] * run.executor.size, world):
        if isinstance(outcome, Failure):
            raise outcome
        rates.append(outcome)
    return sum(pair[1] for pair in rates), rates[0][0]


def budgets_of(run: Run, asked_for: Sequence[int], unit_rate: float) -> list[int]:
    """Return the evaluations per sample that are requested; raise ValueError for fewer than a step costs."""
    passes = run.request.model.passes
    if run.ms is None:
        least = min(asked_for)
        if least < passes:
            raise ValueError(
                f"--nfe {least}: a step of model {run.request.spec} costs {passes} evaluations; "
                f"give {passes} or more"
            )
        return sorted(set(asked_for))
    within = int(run.ms * unit_rate / 1000)
    if within < max(2, passes):
        raise ValueError(
            f"--ms {run.ms:g}: an evaluation of model {run.request.spec} takes {1000 / unit_rate:.3g} ms here, "
            f"so that there is time for {within}; give --ms {2 * max(2, passes) * 1000 / unit_rate:.2g} or more"
        )
    return [within]


def check_time(run: Run, bench: Bench, budgets: Sequence[int]) -> None:
    """Raise ValueError if not even the least race has time."""
    exact = run.request.model.kind != "denoiser"
    solved = 0 if exact else (FIRST * 3 * RULE.first + 32 * 2 * RULE.first)
    needed = (solved + sum(budgets) * (LEAST * FIRST + 3 * 32)) / bench.rate
    spent = run.clock.spent  # to load the model, on a busy machine
    if needed > 60 * run.clock.minutes * COMPARED - spent:
        raise ValueError(
            f"--minutes {run.clock.minutes:g} is too little: model {run.request.spec} makes "
            f"{bench.rate:.3g} evaluations a second here, and the least race at "
            f"{', '.join(map(str, budgets))} evaluations takes about {1.2 * (needed + spent) / 60:.2g} minutes; "
            "give more --minutes, or fewer and smaller --nfe"
        )


DOUBTS = (0.03, 1.0)
"""Weights of what first order leaves out. None is right everywhere: at few steps it is far too large, and
on sets of points all there is. So each ranks, and the best of the ranks counts.
"""


def order_by_forecast(look: ProbeData, entries: Sequence[Entry]) -> list[Entry]:
    """Return configurations with the best forecasts by any measure first, and without a forecast last."""
    costs = np.array([_forecast_errors(look, entry) for entry in entries])
    ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0, kind="stable").min(1)
    ranks[~np.isfinite(costs).any(1)] = len(entries)
    return [entries[n] for n in np.argsort(ranks, kind="stable")]


def _forecast_errors(look: ProbeData, entry: Entry) -> list[float]:
    """Return the means of an entry's forecast errors over trajectories; inf without a forecast."""
    grid = entry.cell.grid
    hopeless = [math.inf] * (len(DOUBTS) + 1)
    if grid is None or entry.cell.infinite or not grid.to_zero:
        return hopeless
    try:
        steps = steps_of(entry.cell.sampler, grid)
    except ValueError:  # it is no table of numbers
        return hopeless
    share = grid.sigma[0] / float(look.levels[0])
    with np.errstate(all="ignore"):
        errors, beyond = forecast_errors_of_table(look, steps, share)
        costs = [float(np.sqrt(np.square(errors + doubt * beyond).mean())) for doubt in DOUBTS]
        costs.append(float(np.exp(np.log(errors + beyond).mean())))
    return [value if math.isfinite(value) else math.inf for value in costs]


def forecast_errors_of_table(
    look: ProbeData, steps: Steps, share: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a table's errors ``(K,)`` of the denoised image at sigma_min on K trajectories, and their second order.

    Errors are root mean squares over the dimensions. The grid begins at a share of the probe's first level.
    """
    low = float(look.levels[-1])
    levels = np.array([max(row.sigma, low) for row in steps.rows])
    d, x = look.at(levels)  # (n, K, R)
    end = look.at(np.array([low]))[0][0]
    state = share * steps.start * look.first
    images: list[NDArray[np.float64]] = []
    beyond = np.zeros(len(state))
    for i, row in enumerate(steps.rows):
        error = state - x[i]
        change = look.response_at(levels[i : i + 1], error[None])[0]
        beyond += _root_mean_squares(change) * _root_mean_squares(error) / (look.dim * levels[i])
        images.append(d[i] + change)
        state = row.a * state
        for weight, image in zip(row.b, reversed(images), strict=False):
            state = state + weight * image
    return _root_mean_squares(state - end) / math.sqrt(look.dim), beyond


def _root_mean_squares(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.square(vectors).sum(-1))


FITTED, FITTED_LATE = 0.3, 0.5
"""Shares of the time, without the start, after which no search of ``auto`` begins: of all budgets on all cores,
and of each budget in turn.
"""
RACED = (0.5, 0.85)
"""Bounds of the share at which the races are to be done; the first leaves the start out."""
OVER = 0.3
"""Share of the time from the planned end of the races to ``COMPARED`` by which they may overrun."""
SCREENED = 0.6
"""Share of a race's time that its first round may take."""
SCORED = 7
"""Configurations of a budget that are scored, about."""
LOOK = 3000
"""Evaluations of a probe of an image model, about."""


def run_races(run: Run, bench: Bench, budgets: Sequence[int]) -> Iterator[RaceResult]:
    """Yield the race of each budget as it ends, each with its part of the time."""
    run.progress("looking at the model")
    look = _probe_model(run, bench)
    run.progress("auto: searching its rules")
    fitted = _budgets_with_auto_rule(run, bench, budgets, FITTED)
    reserved = _share_of_time_for_fits(run, bench, budgets)
    races: list[RaceResult] = []
    for k, budget in enumerate(budgets):
        run.progress(f"{budget} evaluations: racing")
        if budget not in fitted:
            fitted |= _budgets_with_auto_rule(run, bench, [budget], FITTED_LATE)
        # what the budgets before left is shared by those to come
        at = run.clock.spent / 60 / run.clock.minutes
        share = budget**0.5 / sum(n**0.5 for n in budgets[k:])
        end = at + max(share_at_end_of_races(run, bench, budgets) - reserved - at, 0.0) * share
        entries = _entries_in_order_of_trial(run, budget, look, auto=budget in fitted)
        late = run.clock.until(end)
        screened = run.clock.until(at + (end - at) * SCREENED)
        races.append(race_budget(bench, entries, budget, races, late, screened))
        yield races[-1]
        if run.clock.until(share_at_break_off(run, bench, budgets))():
            return


def _budgets_with_auto_rule(
    run: Run, bench: Bench, budgets: Sequence[int], until: float
) -> set[int]:
    """Search the rules of ``auto``; return the budgets that get one before the time is up."""
    request, late = run.request, run.clock.until(bench.of_rest(until))
    if request.only:
        return set()
    tasks = [request.task(search_rule, n // request.model.passes) for n in budgets]
    fitted = set()
    for which, outcome in run.executor.map(tasks, bench.world, wanted=lambda _: not late()):
        if isinstance(outcome, Failure):
            bench.failures["auto"] = outcome.reason
        else:
            fitted.add(budgets[which])
    return fitted


def _share_of_time_for_fits(run: Run, bench: Bench, budgets: Sequence[int]) -> float:
    """Return the share of the time to keep for fits (:mod:`.tuning`); 0 if too little for the cheapest."""
    total = 60 * run.clock.minutes
    left = share_at_end_of_races(run, bench, budgets) - run.clock.spent / total
    available = SHARE * max(left, 0.0)
    smallest = min(filter(None, (seconds_for_fits(bench, [n]) for n in budgets)), default=math.inf)
    if smallest > available * total:
        return 0.0
    return min(seconds_for_fits(bench, budgets) / total, available)


def share_at_end_of_races(run: Run, bench: Bench, budgets: Sequence[int]) -> float:
    """Return the share of the time at which the races and the fits are to be done."""
    total = 60 * run.clock.minutes * bench.rate  # evaluations
    own = bench.request.extractor == CARD and bench.request.features is not None
    scores = 64 * (256 + SCORED * sum(budgets)) / total
    least = ((0 if own else 128 * 64) + 128 * SCORED * sum(budgets)) / total
    whole = ((0 if own else 512 * 64) + sum(budgets) * (SCORED * 512 + 20 * 128)) / total
    # where there is no time for distances in distribution, they are not waited for
    least_raced = bench.of_rest(RACED[0])
    after = scores + (whole if scores + least <= COMPARED - least_raced else 0.0)
    return min(max(COMPARED - after, least_raced), RACED[1])


def share_at_break_off(run: Run, bench: Bench, budgets: Sequence[int]) -> float:
    """Return the share of the time at which running races and fits are broken off."""
    until = share_at_end_of_races(run, bench, budgets)
    return until + OVER * (COMPARED - until)


def _probe_model(run: Run, bench: Bench) -> ProbeData | None:
    """Probe the model; return None where that fails, or would take too much of the time."""
    if LOOK / bench.rate > 60 * run.clock.minutes * FITTED:
        return None
    try:
        return run.executor.run(run.request.task(probe_model), bench.world)
    except Failure:
        return None


def _entries_in_order_of_trial(
    run: Run, budget: int, look: ProbeData | None, *, auto: bool
) -> list[Entry]:
    """Return configurations in the order of trial: the default, ``auto``, then the others by forecast."""
    first, others = [], []
    for entry in run.request.entries(budget, auto=auto):
        (first if entry.cell.sampler.name == "auto" else others).append(entry)
    default = run.request.default(run.now, budget)
    if default.has_steps and not default.cell.sampler.stochastic:
        first = [default, *first]
        others = [entry for entry in others if entry.label != default.label]
    return [*first, *(order_by_forecast(look, others) if look is not None else others)]


def entries_to_score(run: Run, race: RaceResult, untuned: Iterable[Entry]) -> list[Entry]:
    """Return the entries to score: the default, each field's leader, and the leaders before any fit."""
    leaders = [entries[0] for entries in race.survivors.values()]
    default = run.request.default(run.now, race.budget)
    return list({entry.label: entry for entry in (default, *leaders, *untuned)}.values())
