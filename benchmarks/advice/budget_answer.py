"""Answer of each budget: scores on latents that decided no choice, ratios, times, pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    Best,
    Budget,
    Choice,
    Pictures8,
    Value,
    as_8_bit_images,
)
from .budget_race import RaceResult
from .exports import LIBRARIES
from .leader_fits import FittedNumbers, FittedSchedule, Untuned
from .measuring import FIRST, SCORED, Bench
from .race import Squares, append_squares, log_error, log_ratio
from .request import OWN_FIELDS, Entry
from .run import Run
from .tasks import TimingTask, decode_states

COUNTS = (FIRST, 32, 64, 128, 256)
"""Number of latents that are scored after each round."""
TIMED_REPEATS = 5

Scores = dict[int, dict[str, Squares]]
"""Squared distances ``(n,)`` by budget and label."""
Distances = Mapping[str, tuple[Choice, bool]]
"""By label: a choice with ``fd_conv``, and True if significantly nearer than the race's leader."""


def score_on_fresh_latents(
    scores: Scores, bench: Bench, chosen: Mapping[int, Sequence[Entry]], seconds: float
) -> None:
    """Add to ``scores`` the chosen deterministic entries' squared distances on the same latents.

    The first two rounds of :data:`COUNTS` always run. A later round runs if all rounds up to it fit in ``seconds``.
    """
    cost = sum(bench.forecast_seconds(entry, 1) for entries in chosen.values() for entry in entries)
    cost += max(bench.endpoints.steps or 0, 1) / bench.rate
    start = 0
    for stop in COUNTS:
        if start > COUNTS[0] and cost * stop > seconds:
            break
        bench.endpoints.solve(SCORED + start, SCORED + stop)
        for budget, entries in chosen.items():
            # by label: a library's own solver may be the recommendation too
            some = {e.label: e for e in entries if not e.cell.sampler.stochastic}
            for label, squares in bench.measure_squares(some, SCORED + start, SCORED + stop, bool):
                if squares is None:
                    scores[budget].pop(label, None)
                elif start == 0 or label in scores[budget]:
                    scores[budget][label] = append_squares(scores[budget].get(label), squares)
        start = stop


def keep_common_latents(scores: Scores) -> Scores:
    """Return the scores on the latents that all entries have, for paired comparisons."""
    lengths = [len(squares) for by_label in scores.values() for squares in by_label.values()]
    least = min(lengths, default=0)
    return {
        n: {label: of[:least] for label, of in by_label.items()} for n, by_label in scores.items()
    }


def to_choice(bench: Bench, entry: Entry, squares: Squares | None, fd_conv: Value | None) -> Choice:
    """Return an entry with its scores; ``squares`` are squared distances, None if it has none."""
    cell, sampler, grid = entry.cell, entry.cell.sampler, entry.cell.grid
    if sampler.own_grid and grid is not None:
        grid = sampler.levels(grid)  # type: ignore[attr-defined]
    return Choice(
        label=entry.label,
        sampler=cell.label,
        schedule="" if sampler.own_grid else cell.schedule.label,
        nfe=math.nan if cell.grid is None else expected_evaluations(bench.request.model, cell),
        steps=cell.steps,
        levels=() if grid is None else tuple(grid.sigma),
        coefficients=tuple(map(tuple, FittedNumbers.of(sampler, grid).rows)) if grid else (),
        error=None if squares is None else log_error(squares).interval(),
        rms=None if squares is None else float(np.sqrt(squares.mean())),
        median=None if squares is None else float(np.median(np.sqrt(squares))),
        fd_conv=fd_conv,
        failed=cell.skip or bench.failures.get(entry.label, ""),
        search_evaluations=int(str(cell.facts.get("pilot_evaluations", 0))),
        draws_noise=bool(sampler.stochastic),
    )


def _ratio_of_errors(a: Squares | None, b: Squares | None) -> Value | None:
    return None if a is None or b is None else log_ratio(a, b).interval()


def answer_of_budget(
    run: Run,
    bench: Bench,
    race: RaceResult,
    untuned: Untuned,
    chosen: Mapping[int, Sequence[Entry]],
    alternatives: Mapping[int, Sequence[Entry]],
    scores: Scores,
    distances: Mapping[int, Distances],
) -> Budget:
    """Return the answer at the budget of ``race``; mappings are by budget.

    ``chosen`` begins with the default. ``alternatives`` are the library's usual solvers.
    """
    squares, nearness = scores[race.budget], distances[race.budget]

    def scored(entry: Entry) -> Choice:
        distance = nearness.get(entry.label)
        return to_choice(bench, entry, squares.get(entry.label), distance and distance[0].fd_conv)

    def ratio(entry: Entry, other: Entry) -> Value | None:
        return _ratio_of_errors(squares.get(entry.label), squares.get(other.label))

    default, leader_of_all = chosen[race.budget][0], race.survivors[LIBRARIES[0]][0]
    answers = {}
    for library in filter(race.survivors.get, LIBRARIES):
        leader, *tied = race.survivors[library]
        best = Best(
            library,
            scored(leader),
            ratio(leader, default),
            ratio(leader, leader_of_all),
            tuple(entry.label for entry in tied),
            run.request.export_lines(library, leader.cell),
        )
        own = next(iter(race.survivors.get(OWN_FIELDS.get(library, ""), ())), None)
        if own is not None and own.label != leader.label:
            lines = run.request.export_lines(library, own.cell)
            best = replace(best, own=scored(own), own_ratio=ratio(own, leader), own_lines=lines)
        plain = untuned.get(race.budget, {}).get(library)
        if plain is not None and isinstance(leader.cell.schedule, FittedSchedule):
            best = replace(best, untuned=scored(plain), untuned_ratio=ratio(plain, leader))
        answers[library] = best
    mine = next(iter(race.survivors.get(run.library, ())), None)
    nearer = [choice for choice, is_nearer in nearness.values() if is_nearer]
    return Budget(
        nfe=race.budget,
        default=scored(default),
        best=answers,
        in_distribution=min(nearer, key=lambda c: c.fd_conv.value, default=None),  # type: ignore[union-attr]
        tried=race.tried,
        left_out=race.left_out,
        latents=race.latents,
        undecided=_open_question_of_race(run, race),
        hopeless=race.hopeless,
        alternatives=tuple(
            Alternative(scored(entry), None if mine is None else ratio(mine, entry))
            for entry in alternatives[race.budget]
        ),
    )


def _open_question_of_race(run: Run, race: RaceResult) -> str:
    tied = len(race.survivors[run.library]) - 1 if run.library in race.survivors else 0
    if not tied:
        return ""
    why = "on all its samples" if race.timely else "in its time"
    others = f"{tied} other configuration{'s' if tied > 1 else ''}"
    return f"With {race.budget} evaluations the race showed no difference from {others} {why}."


def ratios_at_half_the_budget(
    run: Run, races: Sequence[RaceResult], chosen: Mapping[int, Sequence[Entry]], scores: Scores
) -> dict[tuple[int, int], Value]:
    """Return the recommendation's error at M over the default's at N, by (M, N) with M <= N / 2."""
    ratios = {}
    for few in (race for race in races if run.library in race.survivors):
        mine = scores[few.budget].get(few.survivors[run.library][0].label)
        for many in (race.budget for race in races if 2 * few.budget <= race.budget):
            value = _ratio_of_errors(mine, scores[many].get(chosen[many][0].label))
            if value is not None:
                ratios[few.budget, many] = value
    return ratios


def _entries_to_show(run: Run, answer: Budget, chosen: Sequence[Entry]) -> dict[str, Entry]:
    """Return the entries to time and draw: "default", and "best" if one is recommended."""
    entries = {entry.label: entry for entry in chosen}
    shown = {"default": entries[answer.default.label]}
    if run.library in answer.best:
        shown["best"] = entries[answer.best[run.library].choice.label]
    return shown


def add_times(
    run: Run, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
) -> tuple[list[Budget], int]:
    """Return answers with times for which there is time left, and batch size (0 without times)."""
    times: dict[tuple[int, str], float] = {}
    for answer in answers:
        shown = _entries_to_show(run, answer, chosen[answer.nfe]).values()
        for entry in {entry.label: entry for entry in shown}.values():
            seconds = 2 * (TIMED_REPEATS + 1) * answer.nfe * run.executor.size / bench.rate
            if run.clock.left < seconds or not entry.has_steps:
                continue
            run.progress(f"{answer.nfe} evaluations: timing")
            task = TimingTask(entry.cell, TIMED_REPEATS)
            with suppress(Failure):
                times[answer.nfe, entry.label] = run.executor.run(task, bench.world)

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


def draw_pictures(
    run: Run, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
) -> bool:
    """Write pictures of the first scored latents, or return False for no images of 8x8 or more."""
    model = run.request.model
    event = model.decoded_event
    if len(event) != 3 or event[0] not in (1, 3) or min(event[1:]) < 8:
        return False
    run.progress("pictures")

    def pictured(x: NDArray) -> Pictures8:
        task = run.request.task(decode_states, x)
        return as_8_bit_images(run.executor.run(task, bench.world), model.decoded_limits)

    converged = bench.endpoints.fetch(SCORED, SCORED + COUNT).astype("float32")
    pictures = {"converged": pictured(converged)}
    for answer in answers:
        shown = _entries_to_show(run, answer, chosen[answer.nfe])
        some = {kind: entry for kind, entry in shown.items() if entry.has_steps}
        for kind, outcome in list(bench.draw_samples(some, SCORED, SCORED + COUNT)):
            if not isinstance(outcome, Failure):
                pictures[f"{kind}_{answer.nfe}"] = pictured(outcome)
    write_npz(run.out / PICTURES, pictures)
    return True
