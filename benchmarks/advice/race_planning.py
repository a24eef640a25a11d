"""Races of all budgets: the speed of the model, the time of each stage, and the order of trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.linalg import norm
from numpy.typing import NDArray

from ...samplers.auto import ProbeData
from ..running.executors import Failure
from ..running.executors.worker_context import WorkerContext
from ..scoring.feature_references import CARD
from .budget_race import RaceResult, race_budget
from .exports.equivalents import Steps, tabulate_steps
from .leader_fits import SHARE, seconds_for_fits
from .measuring import FIRST, RULE, Bench
from .request import Entry
from .run import COMPARED, Run
from .tasks import measure_speeds, probe_model, search_rule

LEAST = 20
"""Number of configurations in the smallest race that is worth its time."""
BATCH = 8
"""Batch size at which the rate is measured, about as in the first rounds of a race."""


def measure_rates(run: Run, world: WorkerContext) -> tuple[float, float]:
    """Return evaluations a second: of all workers at :data:`BATCH`, of one at batch size 1."""
    task = run.request.task(measure_speeds, (1, BATCH), 0.3)
    rates = []
    for _, outcome in run.executor.map([task] * run.executor.size, world):
        if isinstance(outcome, Failure):
            raise outcome
        rates.append(outcome)
    return sum(pair[1] for pair in rates), rates[0][0]


def budgets_of(run: Run, asked_for: Sequence[int], unit_rate: float) -> list[int]:
    """Return the budgets ``asked_for``, rising, or else the largest budget that ``--ms`` allows.

    ``unit_rate`` is evaluations a second at batch size 1. Raises a ValueError if a budget allows no step.
    """
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
    """Raise a ValueError if there is no time for the smallest races at the budgets."""
    exact = run.request.model.kind != "denoiser"
    solved = 0 if exact else (FIRST * 3 * RULE.first + 32 * 2 * RULE.first)
    needed = (solved + sum(budgets) * (LEAST * FIRST + 3 * 32)) / bench.rate
    spent = run.clock.spent  # loading the model can take long
    if needed > 60 * run.clock.minutes * COMPARED - spent:
        raise ValueError(
            f"--minutes {run.clock.minutes:g} is too little: model {run.request.spec} makes "
            f"{bench.rate:.3g} evaluations a second here, and the least race at "
            f"{', '.join(map(str, budgets))} evaluations takes about {1.2 * (needed + spent) / 60:.2g} minutes; "
            "give more --minutes, or fewer and smaller --nfe"
        )


DOUBTS = (0.03, 1.0)
"""Weights of a forecast's second-order term. An entry's best rank over all forecasts counts."""


def order_by_forecast(probe: ProbeData, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, sorted by their best forecast rank; those without a forecast are last."""
    costs = np.array([_forecast_errors(probe, entry) for entry in entries])
    ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0, kind="stable").min(1)
    ranks[~np.isfinite(costs).any(1)] = len(entries)
    return [entries[n] for n in np.argsort(ranks, kind="stable")]


def _forecast_errors(probe: ProbeData, entry: Entry) -> list[float]:
    """Return RMS errors for all :data:`DOUBTS`, then a geometric mean; inf without a forecast."""
    grid = entry.cell.grid
    hopeless = [math.inf] * (len(DOUBTS) + 1)
    if grid is None or entry.cell.infinite or not grid.to_zero:
        return hopeless
    try:
        steps = tabulate_steps(entry.cell.sampler, grid)
    except ValueError:  # the sampler is no table of numbers
        return hopeless
    share = grid.sigma[0] / float(probe.levels[0])
    with np.errstate(all="ignore"):
        errors, beyond = forecast_errors_of_table(probe, steps, share)
        costs = [float(np.sqrt(np.square(errors + doubt * beyond).mean())) for doubt in DOUBTS]
        costs.append(float(np.exp(np.log(errors + beyond).mean())))
    return [value if math.isfinite(value) else math.inf for value in costs]


def forecast_errors_of_table(
    probe: ProbeData, steps: Steps, share: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return errors ``(K,)`` forecast for ``steps`` on the probe's K trajectories, and corrections.

    An error is the RMS distance of the last state from the trajectory's image at sigma_min. Corrections ``(K,)``
    are second-order terms of the forecasts. ``share`` is the grid's first level divided by the probe's first level.
    """
    low = float(probe.levels[-1])
    levels = np.array([max(row.sigma, low) for row in steps.rows])
    d, x = probe.at(levels)  # (n, K, R)
    end = probe.at(np.array([low]))[0][0]
    state = share * steps.start * probe.first
    images: list[NDArray[np.float64]] = []
    beyond = np.zeros(len(state))
    for i, row in enumerate(steps.rows):
        error = state - x[i]
        change = probe.response_at(levels[i : i + 1], error[None])[0]
        beyond += norm(change, axis=-1) * norm(error, axis=-1) / (probe.dim * levels[i])
        images.append(d[i] + change)
        state = row.a * state
        for weight, image in zip(row.b, reversed(images), strict=False):
            state = state + weight * image
    return norm(state - end, axis=-1) / math.sqrt(probe.dim), beyond


FITTED, FITTED_LATE = 0.3, 0.5
"""Shares of the time up to which ``auto`` is searched: for all budgets together, for one."""
RACED = (0.5, 0.85)
"""Least and largest share of the time at which races end; the least excludes the start-up."""
OVER = 0.3
"""Share of the time from the planned end of the races to ``COMPARED`` that races may overrun."""
SCREENED = 0.6
"""Largest share of a race's time for its first round."""
SCORED = 7
"""Approximate number of configurations that are scored at a budget."""
PROBED = 3000
"""Approximate number of evaluations that a probe of an image model takes."""


def run_races(run: Run, bench: Bench, budgets: Sequence[int]) -> Iterator[RaceResult]:
    """Yield the result of a race at each budget; stop when the time for races is over."""
    run.progress("looking at the model")
    probe = _probe_model(run, bench)
    run.progress("auto: searching its rules")
    fitted = _budgets_with_auto_rule(run, bench, budgets, FITTED)
    reserved = _share_of_time_for_fits(run, bench, budgets)
    races: list[RaceResult] = []
    for k, budget in enumerate(budgets):
        run.progress(f"{budget} evaluations: racing")
        if budget not in fitted:
            fitted |= _budgets_with_auto_rule(run, bench, [budget], FITTED_LATE)
        # the budgets to come share the time that is left
        at = run.clock.spent / 60 / run.clock.minutes
        share = budget**0.5 / sum(n**0.5 for n in budgets[k:])
        end = at + max(share_at_end_of_races(run, bench, budgets) - reserved - at, 0.0) * share
        entries = _entries_in_order_of_trial(run, budget, probe, auto=budget in fitted)
        late = run.clock.late_after(end)
        screened = run.clock.late_after(at + (end - at) * SCREENED)
        races.append(race_budget(bench, entries, budget, races, late, screened))
        yield races[-1]
        if run.clock.late_after(share_at_break_off(run, bench, budgets))():
            return


def _budgets_with_auto_rule(
    run: Run, bench: Bench, budgets: Sequence[int], until: float
) -> set[int]:
    """Search the rule of ``auto`` for each budget, and return the budgets whose search finished."""
    request, late = run.request, run.clock.late_after(bench.share_of_total(until))
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
    """Return the share of the time for fits; 0 if even the cheapest budget's fits take too long."""
    total = 60 * run.clock.minutes
    left = share_at_end_of_races(run, bench, budgets) - run.clock.spent / total
    available = SHARE * max(left, 0.0)
    smallest = min(filter(None, (seconds_for_fits(bench, [n]) for n in budgets)), default=math.inf)
    if smallest > available * total:
        return 0.0
    return min(seconds_for_fits(bench, budgets) / total, available)


def share_at_end_of_races(run: Run, bench: Bench, budgets: Sequence[int]) -> float:
    """Return the share of the time at which races and fits should end."""
    total = 60 * run.clock.minutes * bench.rate  # evaluations
    own = bench.request.extractor == CARD and bench.request.features is not None
    scores = 64 * (256 + SCORED * sum(budgets)) / total
    least = ((0 if own else 128 * 64) + 128 * SCORED * sum(budgets)) / total
    whole = ((0 if own else 512 * 64) + sum(budgets) * (SCORED * 512 + 20 * 128)) / total
    # no time is kept for distances in distribution if there is too little
    least_raced = bench.share_of_total(RACED[0])
    after = scores + (whole if scores + least <= COMPARED - least_raced else 0.0)
    return min(max(COMPARED - after, least_raced), RACED[1])


def share_at_break_off(run: Run, bench: Bench, budgets: Sequence[int]) -> float:
    """Return the share of the time at which running races and fits are broken off."""
    until = share_at_end_of_races(run, bench, budgets)
    return until + OVER * (COMPARED - until)


def _probe_model(run: Run, bench: Bench) -> ProbeData | None:
    """Return the probe of the model; None if it fails or would take too much of the time."""
    if PROBED / bench.rate > 60 * run.clock.minutes * FITTED:
        return None
    try:
        return run.executor.run(run.request.task(probe_model), bench.world)
    except Failure:
        return None


def _entries_in_order_of_trial(
    run: Run, budget: int, probe: ProbeData | None, *, auto: bool
) -> list[Entry]:
    """Return the entries to try: a deterministic default, ``auto``, and the others by forecast."""
    first, others = [], []
    for entry in run.request.entries(budget, auto=auto):
        (first if entry.cell.sampler.name == "auto" else others).append(entry)
    default = run.request.default_entry(run.now, budget)
    if default.has_steps and not default.cell.sampler.stochastic:
        first = [default, *first]
        others = [entry for entry in others if entry.label != default.label]
    return [*first, *(order_by_forecast(probe, others) if probe is not None else others)]


def entries_to_score(run: Run, race: RaceResult, untuned: Iterable[Entry]) -> list[Entry]:
    """Return the entries to score: the default, each field's leader, and the untuned leaders."""
    leaders = [entries[0] for entries in race.survivors.values()]
    default = run.request.default_entry(run.now, race.budget)
    return list({entry.label: entry for entry in (default, *leaders, *untuned)}.values())
