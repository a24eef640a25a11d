"""Answer of each budget, from the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...models import Denoiser
from ..running.executing import Failure
from ..running.executing.executor import always
from ..running.executing.pace import expected
from .answer import (
    COUNT,
    Alternative,
    Best,
    Budget,
    Choice,
    Lines,
    Pictures,
    Pictures8,
    Value,
    as_8_bit_images,
)
from .budget_race import Raced
from .exports import LIBRARIES, export
from .fitted_cells import FittedNumbers, TunedGrid
from .measuring import FIRST, SCORED, Bench
from .race import Squares, log_error, log_ratio, root_mean_square
from .request import OWN_FIELDS, Entry
from .run import Run, runs
from .tasks import Pictured, TimingTask

TIMED_REPEATS = 5


def timed(
    run: Run, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
) -> tuple[list[Budget], int]:
    """Return the answers with milliseconds in batches of one, where there is time, and the batch size."""
    times: dict[tuple[int, str], float] = {}
    for answer in answers:
        entries = {entry.label: entry for entry in chosen[answer.nfe]}
        wanted = [answer.default.label]
        if run.library in answer.best:
            wanted.append(answer.best[run.library].choice.label)
        for label in dict.fromkeys(wanted):
            entry = entries[label]
            seconds = 2 * (TIMED_REPEATS + 1) * answer.nfe * run.executor.size / bench.rate
            if run.clock.left < seconds or not runs(entry):
                continue
            run.progress(f"{answer.nfe} evaluations: timing")
            task = TimingTask(entry.cell, 1, TIMED_REPEATS)
            outcome = next(iter(run.executor.map([task], bench.world, wanted=always)))[1]
            if not isinstance(outcome, Failure):
                times[answer.nfe, label] = outcome
    return [_with_times(answer, times) for answer in answers], int(bool(times))


def _with_times(answer: Budget, times: Mapping[tuple[int, str], float]) -> Budget:
    def timed(choice: Choice) -> Choice:
        return replace(choice, ms=times.get((answer.nfe, choice.label)))

    best = {name: replace(entry, choice=timed(entry.choice)) for name, entry in answer.best.items()}
    return replace(answer, default=timed(answer.default), best=best)


def drawn(
    run: Run, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
) -> bool:
    """Draw pictures of the first scored latents; return True if there are any."""
    model_run = run.asked
    if is_picture(model_run.model) is False:
        return False
    run.progress("pictures")

    def pictured(x: object) -> Pictures8 | None:
        task = Pictured(model_run.spec, model_run.model.identity, model_run.device, x)  # type: ignore[arg-type]
        return as_8_bit_images(run.executor.run(task, bench.world), model_run.model.decoded_limits)

    ends = bench.truth.ends(SCORED, SCORED + COUNT, bench.truth.steps or 0)
    converged = pictured(ends.astype("float32"))
    if converged is None:
        return False
    images: dict[str, dict[int, Pictures8]] = {"default": {}, "best": {}}
    for answer in answers:
        entries = {entry.label: entry for entry in chosen[answer.nfe]}
        wanted = {"default": answer.default.label}
        if run.library in answer.best:
            wanted["best"] = answer.best[run.library].choice.label
        some = [entries[label] for label in wanted.values()]
        those = [n for n, e in enumerate(some) if runs(e)]
        for which, outcome in list(bench.samples([some[n] for n in those], SCORED, SCORED + COUNT)):
            if not isinstance(outcome, Failure):
                image = pictured(outcome["endpoint"])
                if image is not None:
                    images[list(wanted)[those[which]]][answer.nfe] = image
    Pictures(converged, images["default"], images["best"]).write(run.out)
    return True


def is_picture(model: Denoiser) -> bool:
    """Return True if a model's samples are pictures."""
    event = model.decoded_event
    return len(event) == 3 and event[0] in (1, 3) and min(event[1:]) >= 8


COUNTS = (FIRST, 32, 64, 128, 256)

Scores = dict[int, dict[str, Squares]]
"""Squares by budget and label."""


def score(
    scores: Scores, bench: Bench, chosen: Mapping[int, Sequence[Entry]], seconds: float
) -> None:
    """Take errors of configurations on as many latents as there is time for, the same for all. Only the end
    of the stage prevents the first two counts.

    Args:
        scores: where they go; what is there when the stage is broken off can be used.
        bench: where they are measured.
        chosen: configurations by budget.
        seconds: that there are.
    """
    scores |= {budget: {} for budget in chosen}
    cost = sum(bench.forecast(entry, 1) for entries in chosen.values() for entry in entries)
    cost += max(bench.truth.steps or 0, 1) / bench.rate
    start = 0
    for stop in COUNTS:
        if start > COUNTS[0] and cost * stop > seconds:
            break
        bench.truth.solve(SCORED + start, SCORED + stop)
        for budget, entries in chosen.items():
            with_one = [e for e in entries if not e.cell.sampler.stochastic]
            for which, squares in bench.squares(with_one, SCORED + start, SCORED + stop, bool):
                label = with_one[which].label
                if squares is None:
                    scores[budget].pop(label, None)
                elif start == 0 or label in scores[budget]:
                    before = scores[budget].get(label, np.empty(0))
                    scores[budget][label] = np.concatenate([before, squares])
        start = stop


def of_one_length(scores: Scores) -> Scores:
    """Return scores on the latents that all of them have, so that they compare latent by latent."""
    lengths = [len(squares) for by_label in scores.values() for squares in by_label.values()]
    least = min(lengths, default=0)
    return {
        n: {label: of[:least] for label, of in by_label.items()} for n, by_label in scores.items()
    }


def choice(bench: Bench, entry: Entry, squares: Squares | None, fd_conv: Value | None) -> Choice:
    """Return a configuration as an answer has it."""
    cell = entry.cell
    used = cell.grid
    own = bool(cell.sampler.own_grid)
    if own and used is not None and hasattr(cell.sampler, "levels"):
        used = cell.sampler.levels(used)  # type: ignore[attr-defined]
    return Choice(
        label=entry.label,
        sampler=cell.label,
        schedule="" if own else cell.schedule.label,
        nfe=_nfe(bench, entry),
        steps=cell.steps,
        levels=() if used is None else tuple(used.sigma),
        coefficients=tuple(map(tuple, FittedNumbers.of(cell.sampler, used).rows)) if used else (),
        error=None if squares is None else log_error(squares).interval(),
        rms=None if squares is None else root_mean_square(squares),
        median=None if squares is None else float(np.median(np.sqrt(squares))),
        fd_conv=fd_conv,
        failed=cell.skip or bench.failures.get(entry.label, ""),
        search_evaluations=int(str(cell.facts.get("pilot_evaluations", 0))),
    )


def ratio(a: Squares | None, b: Squares | None) -> Value | None:
    """Return the ratio of the errors of ``a`` and ``b``; None where one has none."""
    return None if a is None or b is None else log_ratio(a, b).interval()


def _nfe(bench: Bench, entry: Entry) -> float:
    if entry.cell.grid is None:
        return math.nan
    return float(expected(bench.asked.model, entry.cell))


def answer(
    run: Run,
    bench: Bench,
    race: Raced,
    untuned: Mapping[str, Entry],
    chosen: Sequence[Entry],
    alternatives: Sequence[Entry],
    scores: Scores,
    distributions: Mapping[str, tuple[Choice, Value, bool]],
) -> Budget:
    """Return the answer of one budget.

    Args:
        run: the run.
        bench: where all was measured.
        race: of the budget.
        untuned: what led each field before anything was fitted to the model.
        chosen: what was scored, the default first.
        alternatives: the library's own solvers at their defaults, which were scored too.
        scores: on latents that chose nothing.
        distributions: by label, distances in distribution, and whether each is decidedly below the best one's.
    """
    by_label = scores[race.budget]
    fd = {label: value for label, (_, value, _) in distributions.items()}
    default = chosen[0]
    best = race.left[LIBRARIES[0]][0].label
    answers = {}
    for library in LIBRARIES:
        survivors = race.left.get(library)
        if not survivors:
            continue
        leader = survivors[0]
        squares = by_label.get(leader.label)
        own = race.left.get(OWN_FIELDS.get(library, ""), ())
        own = own[0] if own and own[0].label != leader.label else None
        theirs = None if own is None else by_label.get(own.label)
        plain = untuned.get(library) if isinstance(leader.cell.schedule, TunedGrid) else None
        before = None if plain is None else by_label.get(plain.label)
        answers[library] = Best(
            library,
            choice(bench, leader, squares, fd.get(leader.label)),
            ratio(squares, by_label.get(default.label)),
            ratio(squares, by_label.get(best)),
            tuple(entry.label for entry in survivors[1:]),
            _lines(run, library, leader),
            None if own is None else choice(bench, own, theirs, fd.get(own.label)),
            ratio(theirs, squares),
            None if own is None else _lines(run, library, own),
            None if plain is None else choice(bench, plain, before, fd.get(plain.label)),
            ratio(before, squares),
        )
    leaders = race.left.get(run.library)
    mine = leaders[0] if leaders else None
    nearer = [
        (value.value, candidate)
        for candidate, value, is_nearer in distributions.values()
        if is_nearer
    ]
    return Budget(
        nfe=race.budget,
        default=choice(bench, default, by_label.get(default.label), fd.get(default.label)),
        best=answers,
        in_distribution=min(nearer, key=lambda pair: pair[0])[1] if nearer else None,
        tried=race.tried,
        left_out=race.left_out,
        latents=race.latents,
        undecided=_open_question(run, race),
        hopeless=race.hopeless,
        alternatives=tuple(
            Alternative(
                choice(bench, entry, by_label.get(entry.label), fd.get(entry.label)),
                None
                if mine is None
                else ratio(by_label.get(mine.label), by_label.get(entry.label)),
            )
            for entry in alternatives
        ),
    )


def _open_question(run: Run, race: Raced) -> str:
    sentences = []
    if race.left_out:
        sentences.append(
            f"there was no time to try {race.left_out} of {race.tried + race.left_out} configurations, "
            "those that the look at the model forecasts worst"
        )
    tied = len(race.left[run.library]) - 1 if run.library in race.left else 0
    if tied:
        why = "on all its latents" if race.timely else "in its time"
        others = f"{tied} other{'s' if tied > 1 else ''}"
        sentences.append(f"the race could not tell {others} from the recommendation {why}")
    return f"At {race.budget} evaluations {', and '.join(sentences)}." if sentences else ""


def _lines(run: Run, library: str, entry: Entry) -> Lines:
    cell = entry.cell
    assert cell.grid is not None
    try:
        exported = export(library, cell.sampler, cell.grid, run.asked.model, run.asked.spec)
    except ValueError as error:
        return Lines(library, "", str(error))
    return Lines(library, exported.code, exported.remark)


def halves(
    run: Run, races: Sequence[Raced], chosen: Mapping[int, Sequence[Entry]], scores: Scores
) -> dict[tuple[int, int], Value]:
    """Return ratios of the recommendation's error at M to the default's at N, for M <= N / 2."""
    ratios = {}
    for few in races:
        if run.library not in few.left:
            continue
        mine = scores[few.budget].get(few.left[run.library][0].label)
        for many in races:
            if 2 * few.budget <= many.budget:
                default = chosen[many.budget][0].label
                value = ratio(mine, scores[many.budget].get(default))
                if value is not None:
                    ratios[few.budget, many.budget] = value
    return ratios


def default_in_words(run: Run) -> str:
    """Return the present sampler in words."""
    now = run.now
    if now.sampler == "pipeline":
        return now.told
    return f"{now.sampler} on {now.schedule} ({now.told})"
