"""Races of all budgets: the order of trial, a race for each budget, and races of fitted entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.linalg import norm
from numpy.typing import NDArray

from ...samplers.auto import ProbeData
from ..running.executors import Failure
from .exports.equivalents import StepTable, tabulate_steps
from .measuring import FIRST, RULE
from .race import Late, Race, Squares, geometric_mean, is_hopeful, never
from .request import FIELDS, Entry
from .run import AdviceRun, BudgetResult, OutOfTime
from .tasks import probe_model, search_auto_rule

FITTED, FITTED_LATE = 0.3, 0.5
"""Shares of the time up to which searches of ``auto`` start: for all budgets together, for one.

Searches are broken off at the second, or earlier if the first race needs the time.
"""
SCREENED = 0.6
"""Largest share of a race's time for its first round."""
PROBED = 3000
"""Approximate number of evaluations that a probe of an image model takes."""


def run_races(
    run: AdviceRun, share_for_fits: Callable[[AdviceRun], float]
) -> Iterator[BudgetResult]:
    """Yield the result of a race at each budget; stop when the time for races is over.

    ``share_for_fits`` is called once after the model has been probed. It returns the share of the
    time limit to leave for fits.
    """
    run.progress("looking at the model")
    probe = _probe_model(run)
    run.progress("auto: searching its rules")
    fitted = _budgets_with_auto_rule(run, run.budgets, FITTED)
    reserved = share_for_fits(run)
    races: list[BudgetResult] = []
    for k, budget in enumerate(run.budgets):
        run.progress(f"{budget} evaluations: racing")
        if budget not in fitted:
            fitted |= _budgets_with_auto_rule(run, [budget], FITTED_LATE)
        # the budgets to come share the time that is left
        at = run.clock.share_spent
        share = budget**0.5 / sum(n**0.5 for n in run.budgets[k:])
        end = at + max(run.races_end_share - reserved - at, 0.0) * share
        entries = _entries_in_order_of_trial(run, budget, probe, auto=budget in fitted)
        late = run.clock.late_after(end)
        screened = run.clock.late_after(at + (end - at) * SCREENED)
        races.append(race_budget(run, entries, budget, races, late, screened))
        yield races[-1]
        if run.clock.late_after(run.break_off_share)():
            return


def _probe_model(run: AdviceRun) -> ProbeData | None:
    """Return the probe of the model; None if it fails or would take too much of the time."""
    if PROBED / run.rate > 60 * run.clock.minutes * FITTED:
        return None
    try:
        return run.executor.run(run.request.task(probe_model), run.context)
    except Failure:
        return None


def _budgets_with_auto_rule(run: AdviceRun, budgets: Sequence[int], until: float) -> set[int]:
    """Search rules of ``auto`` up to a share of the time; return budgets whose search finished."""
    request, late = run.request, run.clock.late_after(run.share_of_total(until))
    if request.only:
        return set()
    tasks = [request.task(search_auto_rule, n // request.model.passes) for n in budgets]
    outcomes: dict[int, object] = {}
    first = least_seconds(run, run.budgets[:1]) / 60 / run.clock.minutes
    end = min(run.share_of_total(FITTED_LATE), run.races_end_share - first)
    with suppress(OutOfTime), run.clock.raise_when_over(end):
        for n, outcome in run.executor.map(tasks, run.context, wanted=lambda _: not late()):
            outcomes[n] = outcome
    for n, budget in enumerate(budgets):
        outcome = outcomes.get(n, Failure("late", "there was no time to search its settings"))
        run.without_auto.pop(budget, None)
        if isinstance(outcome, Failure):
            run.without_auto[budget] = outcome.reason
    return {*budgets} - {*run.without_auto}


def least_seconds(run: AdviceRun, budgets: Sequence[int]) -> float:
    """Return seconds for endpoints, and the smallest useful races at ``budgets`` with scores."""
    exact = run.request.model.kind != "denoiser"
    solved = 0 if exact else (FIRST * 3 * RULE.first + 32 * 2 * RULE.first)
    return (solved + sum(budgets) * (LEAST_ENTRIES * FIRST + 3 * 32)) / run.rate


def _entries_in_order_of_trial(
    run: AdviceRun, budget: int, probe: ProbeData | None, *, auto: bool
) -> list[Entry]:
    """Return the entries to race: present sampler, ``auto``, and the others by forecast error."""
    first, others = [], []
    for entry in run.request.entries(budget, auto=auto):
        (first if entry.cell.sampler.name == "auto" else others).append(entry)
    default = run.request.default_entry(budget)
    if default.can_run and not default.cell.sampler.stochastic:
        first = [default, *first]
        others = [entry for entry in others if entry.label != default.label]
    return [*first, *(order_by_forecast(probe, others) if probe is not None else others)]


DOUBTS = (0.03, 1.0)
"""Weights of a forecast's second-order term. An entry's best rank over all forecasts counts."""


def order_by_forecast(probe: ProbeData, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries by their best rank in several forecasts; the last have no forecast."""
    if not entries:
        return []
    costs = np.array([_forecast_errors(probe, entry) for entry in entries])
    ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0, kind="stable").min(1)
    ranks[~np.isfinite(costs).any(1)] = len(entries)
    return [entries[n] for n in np.argsort(ranks, kind="stable")]


def _forecast_errors(probe: ProbeData, entry: Entry) -> list[float]:
    """Return forecasts: an RMS error for each of DOUBTS, and a geometric mean; inf if unknown."""
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
    probe: ProbeData, steps: StepTable, share: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return forecast errors ``(K,)`` of ``steps`` on the probe's K trajectories, and corrections.

    An error is the first-order forecast of the RMS distance of the last state from the trajectory's image at sigma_min.
    Corrections ``(K,)``, >= 0, estimate the size of the terms of second order; a careful forecast adds a multiple of
    them. ``share`` is the grid's first level over the probe's first level.
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


ROUNDS = (4, 8, 16, 32, 64, 128, 256)
"""Number of latents after each round."""
LEAST = 16
"""Smallest number of latents on which leaders are ranked, regardless of the time."""
LEAST_ENTRIES = 20
"""Number of configurations in the smallest race that is worth its time."""
FIRST_ENTRIES = 6
"""Number of first entries, which are always measured and set the reference's accuracy."""
OF_EACH = 3
"""Number of configurations per field (:data:`.FIELDS`) that are tried regardless of the time."""
SURE = 64
"""Largest number of latents on which fits are measured regardless of the time."""
SMALL = 64
"""Largest size of a small field. Its configurations are tried before most of a large field."""


def race_budget(
    run: AdviceRun,
    entries: Sequence[Entry],
    budget: int,
    before: Sequence[BudgetResult],
    late: Late,
    screened: Late,
) -> BudgetResult:
    """Race configurations at a budget, and return the result.

    ``before`` are the results at smaller budgets. ``late`` returns True once the time of the race is
    up. ``screened`` returns True once the time of the race's first round is up.

    Raises:
        Failure: no configuration has samples, or there is no reference solution.
        OutOfTime: the race was broken off before any configuration had samples.
    """
    some = _order_of_trial([entry for entry in entries if _is_hopeful(entry, before)])
    set_endpoint_steps(run, some[:FIRST_ENTRIES], budget)
    fields = {
        name: [n for n, entry in enumerate(some) if name in entry.libraries] for name in FIELDS
    }
    least = sum(min(OF_EACH, len(members)) for members in fields.values()) + FIRST_ENTRIES

    def measure(numbers: Sequence[int], start: int, stop: int):
        # the leaders, which are first, are measured even when the time is up
        sure = least if start == 0 else FIRST_ENTRIES
        first = {n: some[n] for n in numbers[:sure]}
        rest = {n: some[n] for n in numbers[sure:]}
        yield from run.measure_squares(first, start, stop, never)
        yield from run.measure_squares(rest, start, stop, screened if start == 0 else late)

    race = Race(fields, ROUNDS, measure, late=late, least=LEAST)
    try:
        race()
    except OutOfTime:
        race.drop_unmeasured()
        if not race.survivors(FIELDS[0]):
            raise
    if not race.survivors(FIELDS[0]):
        reasons = {why for entry in some if (why := run.failures.get(entry.cell.key))}
        raise Failure("failed", "; ".join(sorted(reasons)[:2]) or "no configuration was tried")
    first = {n: geometric_mean(squares[: ROUNDS[0]]) for n, squares in race.measurements.items()}
    first |= {n: first[other] for n, other in race.same.items() if other in first}
    errors = {some[n].label: value for n, value in first.items()}
    best = {
        name: min((errors.get(some[n].label, np.inf) for n in members), default=np.inf)
        for name, members in fields.items()
    }
    tried = len(race.measurements) + len(race.failed) + len(race.same)
    return BudgetResult(
        budget,
        _survivors_by_field(race, some),
        errors,
        best,
        tried,
        len(some) - tried,
        max(map(len, race.measurements.values())),
        not late(),
        len(entries) - len(some),
    )


def race_fits(
    run: AdviceRun, races: Sequence[BudgetResult], fitted: Mapping[int, Sequence[Entry]]
) -> list[BudgetResult]:
    """Race each race's survivors against the entries ``fitted`` at its budget; return the results.

    After :attr:`.AdviceRun.races_end_share`, survivors other than leaders run in the first round only. Fitted
    entries and leaders also run in rounds of up to :data:`SURE` latents, but no more than the earlier race used.
    """
    results, endpoints, late = [], run.endpoints, run.clock.late_after(run.races_end_share)
    finest = (endpoints.steps or 0, endpoints.resolution)
    try:
        for race in races:
            if tuned := fitted.get(race.budget):
                run.progress(f"{race.budget} evaluations: racing what was fitted")
                race = race_again(run, race, tuned, late)
            results.append(race)
            finest = max(finest, (endpoints.steps or 0, endpoints.resolution))
    finally:  # also where the time is over at a race with coarser endpoints
        endpoints.steps, endpoints.resolution = finest
    return results


def race_again(
    run: AdviceRun, race: BudgetResult, tuned: Sequence[Entry], late: Late
) -> BudgetResult:
    """Race the survivors of ``race`` against fitted entries ``tuned``; see :func:`race_fits`."""
    leaders = race.leaders.values()
    before = [entry for ranked in race.survivors.values() for entry in ranked]
    some = list({entry.label: entry for entry in (*tuned, *leaders, *before)}.values())
    must = len({entry.label for entry in (*tuned, *leaders)})
    set_endpoint_steps(run, (), race.budget)
    set_endpoint_steps(run, tuned, race.budget, " ".join(entry.cell.key[-10:] for entry in tuned))

    def is_in(name: str, n: int) -> bool:
        own = race.survivors.get(name, ())
        return name in some[n].libraries if n < len(tuned) else some[n] in own

    fields = {name: [n for n in range(len(some)) if is_in(name, n)] for name in FIELDS}

    def measure(numbers: Sequence[int], start: int, stop: int):
        first = {n: some[n] for n in numbers if n < must}
        rest = {n: some[n] for n in numbers if n >= must}
        sure = stop <= min(SURE, race.latents)
        yield from run.measure_squares(first, start, stop, never if sure else late)
        yield from run.measure_squares(rest, start, stop, never if start == 0 else late)

    again = Race(fields, ROUNDS, measure)
    again()
    return replace(
        race,
        survivors=_survivors_by_field(again, some),
        tried=race.tried + len(tuned),
        latents=max([race.latents, *map(len, again.measurements.values())]),
        timely=race.timely and not late(),
        untuned=race.leaders,
    )


def _survivors_by_field(race: Race[Squares], some: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the survivors by field, best first, without empty fields; ``some`` have raced."""
    return {name: [some[n] for n in left] for name in FIELDS if (left := race.survivors(name))}


def set_endpoint_steps(
    run: AdviceRun, entries: Sequence[Entry], budget: int, suffix: str = ""
) -> None:
    """Set the steps of ``run.endpoints``; endpoints become more exact than samples of ``entries``.

    Steps that were stored for the same ``budget`` and ``suffix`` are used again, unless there are new entries, or
    the steps were limited to at most a quarter of what there is time for now.
    """
    key = f"settled {budget} {suffix}".rstrip()
    names, ends = [entry.cell.key[-10:] for entry in entries], run.endpoints
    steps, resolution, known, most = run.store.get(key) or (0, 0.0, (), 0)
    if {*names} - {*known} or (steps >= most and 4 * most <= ends.most):
        samples = [x for _, x in run.draw_samples(dict(enumerate(entries)), 0, FIRST)]
        ends.set_steps([x for x in samples if not isinstance(x, Failure)])
        steps, resolution, most = ends.steps or 0, ends.resolution, ends.most
        run.store.put(key, [steps, resolution, names, most])
    ends.steps, ends.resolution = steps, resolution
    if steps >= most:  # limited by the time then, which the answer says
        ends.most = min(ends.most, most)


def _order_of_trial(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries in order of trial: first few, a few of each field, small fields, others."""
    first = list(entries[:FIRST_ENTRIES])
    fields = [[entry for entry in entries if name in entry.libraries] for name in FIELDS]
    for members in fields:
        first += members[:OF_EACH]
    for members in fields:  # for users of libraries that have few samplers
        first += members if len(members) <= SMALL else []
    unique = {entry.label: entry for entry in first}
    return [*unique.values(), *(entry for entry in entries if entry.label not in unique)]


def _is_hopeful(entry: Entry, before: Sequence[BudgetResult]) -> bool:
    """Return False if an entry was far above the best of all its fields at the last two budgets."""
    return not entry.libraries or any(
        is_hopeful(
            [race.errors.get(entry.label, 0.0) for race in before],
            [race.best[name] for race in before],
        )
        for name in entry.libraries
    )
