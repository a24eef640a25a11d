"""Answer of each budget: scores on latents that no race or fit used, ratios, times, pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...results.run_directory.files import write_npz
from ..running.executors import Failure
from ..running.executors.shard_limits import expected_evaluations
from .answer import (
    COUNT,
    PICTURES,
    Alternative,
    Budget,
    Choice,
    Recommendation,
    Value,
    as_8_bit_images,
)
from .candidates import FittedNumbers, FittedSchedule
from .exports import LIBRARIES
from .measuring import FIRST, FIRST_SCORED_ID
from .race import Squares, append_squares, log_error, log_ratio, never
from .request import OWN_FIELDS, Entry
from .run import AdviceRun, BudgetResult
from .tasks import TimingTask, decode_states

COUNTS = (FIRST, 32, 64, 128, 256)
"""Number of latents that are scored after each round."""
TIMED_REPEATS = 5


def choose_entries(run: AdviceRun, result: BudgetResult) -> None:
    """Set the entries to score: present sampler, leaders with and without fits, usual solvers."""
    default = run.request.default_entry(result.budget)
    entries = (default, *result.leaders.values(), *result.untuned.values())
    result.chosen = list({entry.label: entry for entry in entries}.values())
    result.alternatives = run.request.alternatives(result.budget)


def score_on_fresh_latents(run: AdviceRun, results: Sequence[BudgetResult], seconds: float) -> None:
    """Add squared distances of deterministic entries to ``results``, on latents not used before.

    The first two rounds of :data:`COUNTS` always run. A later round runs if all rounds up to it fit in ``seconds``.
    """
    entries = [(*one.chosen, *one.alternatives) for one in results]
    cost = sum(run.forecast_seconds(entry, 1) for some in entries for entry in some)
    cost += max(run.endpoints.steps or 0, 1) / run.rate
    start = 0
    for stop in COUNTS:
        if start > COUNTS[0] and cost * stop > seconds:
            break
        run.endpoints.solve(FIRST_SCORED_ID + start, FIRST_SCORED_ID + stop)
        for one, every in zip(results, entries, strict=True):
            # by label: a library's own solver may be the recommendation too
            some = {e.label: e for e in every if not e.cell.sampler.stochastic}
            for label, squares in run.measure_squares(
                some, FIRST_SCORED_ID + start, FIRST_SCORED_ID + stop, never
            ):
                if squares is None:
                    one.squares.pop(label, None)
                elif start == 0 or label in one.squares:
                    one.squares[label] = append_squares(one.squares.get(label), squares)
        start = stop


def keep_common_latents(results: Sequence[BudgetResult]) -> None:
    """Keep only the squared distances on the latents that all entries have, for paired comparisons."""
    least = min((len(squares) for one in results for squares in one.squares.values()), default=0)
    for one in results:
        one.squares = {label: squares[:least] for label, squares in one.squares.items()}


def to_choice(
    run: AdviceRun, entry: Entry, squares: Squares | None, fd_conv: Value | None
) -> Choice:
    """Return an entry with its scores, which are None where ``squares`` or ``fd_conv`` is None."""
    cell, sampler, grid = entry.cell, entry.cell.sampler, entry.cell.grid
    if sampler.own_grid and grid is not None:
        grid = sampler.levels(grid)  # type: ignore[attr-defined]
    return Choice(
        label=entry.label,
        sampler=cell.label,
        schedule="" if sampler.own_grid else cell.schedule.label,
        nfe=math.nan if cell.grid is None else expected_evaluations(run.request.model, cell),
        steps=cell.steps,
        levels=() if grid is None or cell.infinite else tuple(grid.sigma),
        coefficients=tuple(map(tuple, FittedNumbers.of(sampler, grid).rows)) if grid else (),
        error=None if squares is None else log_error(squares).interval(),
        rms=None if squares is None else float(np.sqrt(squares.mean())),
        median=None if squares is None else float(np.median(np.sqrt(squares))),
        fd_conv=fd_conv,
        # with an error, it was only features that failed
        failed=cell.skip or ("" if squares is not None else run.failures.get(cell.key, "")),
        search_evaluations=int(str(cell.facts.get("pilot_evaluations", 0))),
        draws_noise=bool(sampler.stochastic),
    )


def _ratio_of_errors(a: Squares | None, b: Squares | None) -> Value | None:
    return None if a is None or b is None else log_ratio(a, b).interval()


def answer_of_budget(run: AdviceRun, result: BudgetResult) -> Budget:
    """Return a budget's recommendations and scores, from the results of its race."""
    squares, distances = result.squares, result.distances

    def scored(entry: Entry) -> Choice:
        return to_choice(run, entry, squares.get(entry.label), distances.get(entry.label))

    def ratio(entry: Entry, other: Entry) -> Value | None:
        return _ratio_of_errors(squares.get(entry.label), squares.get(other.label))

    default, leaders, answers = result.default, result.leaders, {}
    for library in filter(result.survivors.get, LIBRARIES):
        leader, *tied = result.survivors[library]
        best = Recommendation(
            library,
            scored(leader),
            ratio(leader, default),
            ratio(leader, leaders[LIBRARIES[0]]),
            tuple(entry.label for entry in tied),
            run.request.export_lines(library, leader.cell),
        )
        own = leaders.get(OWN_FIELDS.get(library, ""))
        if own is not None and own.label != leader.label:
            lines = run.request.export_lines(library, own.cell)
            best = replace(best, own=scored(own), own_ratio=ratio(own, leader), own_lines=lines)
        plain = result.untuned.get(library)
        if plain is not None and isinstance(leader.cell.schedule, FittedSchedule):
            best = replace(best, untuned=scored(plain), untuned_ratio=ratio(plain, leader))
        answers[library] = best
    mine = leaders.get(run.request.library)
    nearest = result.nearest
    return Budget(
        nfe=result.budget,
        default=scored(default),
        best=answers,
        in_distribution=nearest and to_choice(run, nearest, None, distances[nearest.label]),
        tried=result.tried,
        left_out=result.left_out,
        latents=result.latents,
        undecided=_open_question_of_race(run, result),
        hopeless=result.hopeless,
        alternatives=tuple(
            Alternative(scored(entry), None if mine is None else ratio(mine, entry))
            for entry in result.alternatives
        ),
    )


def _open_question_of_race(run: AdviceRun, race: BudgetResult) -> str:
    tied = len(race.survivors.get(run.request.library, ())) - 1
    if tied < 1:
        return ""
    why = "on all its samples" if race.timely else "in its time"
    others = f"{tied} other configuration{'s' if tied > 1 else ''}"
    return f"With {race.budget} evaluations the race showed no difference from {others} {why}."


def ratios_at_half_the_budget(
    run: AdviceRun, results: Sequence[BudgetResult]
) -> dict[tuple[int, int], Value]:
    """Return the recommendation's error at budget M over the default's at N >= 2 M, by (M, N)."""
    ratios = {}
    for few in results:
        best = few.leaders.get(run.request.library)
        mine = few.squares.get(best.label) if best else None
        for many in (one for one in results if 2 * few.budget <= one.budget):
            value = _ratio_of_errors(mine, many.squares.get(many.default.label))
            if value is not None:
                ratios[few.budget, many.budget] = value
    return ratios


def _entries_to_show(run: AdviceRun, result: BudgetResult) -> dict[str, Entry]:
    """Return the entries "default" and "best", to time and draw; leave out any that cannot run."""
    best = result.leaders.get(run.request.library)
    shown = {"default": result.default} | ({"best": best} if best else {})
    return {name: entry for name, entry in shown.items() if entry.can_run}


def add_times(
    run: AdviceRun, answers: Sequence[Budget], results: Sequence[BudgetResult]
) -> tuple[list[Budget], int]:
    """Return answers with milliseconds a sample, and the batch size: 1, or 0 if none was timed."""
    times: dict[tuple[int, str], float] = {}
    for one in results:
        for entry in {e.label: e for e in _entries_to_show(run, one).values()}.values():
            seconds = 2 * (TIMED_REPEATS + 1) * one.budget * run.executor.size / run.rate
            if run.clock.seconds_until(1) < seconds:
                continue
            run.progress(f"{one.budget} evaluations: timing")
            task = TimingTask(entry.cell, TIMED_REPEATS)
            with suppress(Failure):
                times[one.budget, entry.label] = run.executor.run(task, run.context)

    def with_time(answer: Budget, choice: Choice) -> Choice:
        return replace(choice, ms=times.get((answer.nfe, choice.label)))

    return [
        replace(
            a,
            default=with_time(a, a.default),
            best={n: replace(b, choice=with_time(a, b.choice)) for n, b in a.best.items()},
        )
        for a in answers
    ], int(bool(times))


def draw_pictures(run: AdviceRun, results: Sequence[BudgetResult]) -> bool:
    """Write pictures of the first scored latents to a file, and return True.

    Return False if samples are no images of 1 or 3 channels and 8 pixels or more a side.
    """
    model = run.request.model
    event = model.decoded_event
    if len(event) != 3 or event[0] not in (1, 3) or min(event[1:]) < 8:
        return False
    run.progress("pictures")

    def decoded(x: NDArray) -> NDArray:
        return run.executor.run(run.request.task(decode_states, x), run.context)

    converged = decoded(
        run.endpoints.fetch(FIRST_SCORED_ID, FIRST_SCORED_ID + COUNT).astype("float32")
    )
    low, high = model.decoded_limits or (-math.inf, math.inf)
    if not math.isfinite(high - low):  # the same grey levels in all pictures
        low, high = float(converged.min()), float(converged.max())
    pictures = {"converged": as_8_bit_images(converged, low, high)}
    for one in results:
        shown = _entries_to_show(run, one)
        for kind, outcome in list(
            run.draw_samples(shown, FIRST_SCORED_ID, FIRST_SCORED_ID + COUNT)
        ):
            if not isinstance(outcome, Failure):
                pictures[f"{kind}_{one.budget}"] = as_8_bit_images(decoded(outcome), low, high)
    write_npz(run.out / PICTURES, pictures)
    return True
