"""Run of ``advise``: the question, the race of each budget, the scores and the answer."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ... import models, samplers
from ...results.run_directory.disk.files import write_json
from ...results.run_directory.leading import leading
from .. import metrics, planning, sampling, scoring, tuning
from ..running.executing import Executor, Failure, InProcess
from ..running.executing.worker_context import WorkerConfig, WorkerContext
from ..running.provenance import provenance
from .answer import FILE, Advice, Choice, Value
from .answers import (
    Scores,
    answer,
    choice,
    default_in_words,
    drawn,
    halves,
    of_one_length,
    score,
    timed,
)
from .budget_race import Raced
from .distribution import Distances, converged_count, farther, space_of, value_of
from .exports import LIBRARIES
from .fitting import Tuned, tuned
from .measuring import RULE, Bench, Store, Truth, check_folder, most_steps
from .race import LEVEL
from .races import (
    COMPARED,
    broken_off_at,
    budgets_of,
    check_time,
    chosen_of,
    paces,
    raced_until,
    races_of,
)
from .request import AdviceRequest, Entry, described, load_subject, sampler_of, span_of
from .run import Clock, OutOfTime, Progress, Run, runs
from .sentences import sentences


def distributions(
    run: Run, bench: Bench, races: Sequence[Raced], chosen: Mapping[int, Sequence[Entry]]
) -> tuple[dict[int, dict[str, tuple[Choice, Value, bool]]], list[str]]:
    """Return distances in distribution by budget and label, each with whether it is decidedly below the
    best configuration's; and a sentence on stochastic samplers that were not compared.
    """
    nothing: dict[int, dict[str, tuple[Choice, Value, bool]]] = {r.budget: {} for r in races}
    seconds = 60 * run.clock.minutes * COMPARED - run.clock.spent
    first_look = 128 * sum(race.budget * len(chosen[race.budget]) for race in races) / bench.rate
    count = converged_count(bench, seconds - first_look)
    if not count:
        return nothing, ["There was no time to compare distributions (fd_conv)."]
    run.progress("distances in distribution")
    space, begin = space_of(bench, count), run.clock.spent
    total = 60 * run.clock.minutes
    first = {r.budget: [e for e in chosen[r.budget] if runs(e)] for r in races}
    distances = {r.budget: Distances(bench, space) for r in races}
    # what is recommended is measured at all budgets before any stochastic sampler is tried
    shares = _shares({r.budget: r.budget * len(first[r.budget]) for r in races})
    for budget, share in shares.items():
        late = run.clock.until((begin + 0.5 * share * (total * COMPARED - begin)) / total)
        distances[budget](first[budget], len(first[budget]), late)
    begin, late_budgets = run.clock.spent, []
    for budget, share in _shares({r.budget: r.budget for r in races}).items():
        late = run.clock.until((begin + share * (total * COMPARED - begin)) / total)
        labels = {entry.label for entry in first[budget]}
        others = [e for e in run.asked.stochastic(budget) if e.label not in labels]
        entries = [*first[budget], *others]
        estimates = distances[budget](entries, len(first[budget]), late)
        if len(estimates) < len(entries):
            late_budgets.append(budget)
        best = next(r for r in races if r.budget == budget).left[LIBRARIES[0]][0].label
        own = next((estimates[n] for n in estimates if entries[n].label == best), None)
        for n, estimate in estimates.items():
            value = value_of(estimate)
            nearer = own is not None and farther(own, estimate, LEVEL / max(len(estimates), 1))
            result = choice(bench, entries[n], None, value)
            nothing[budget][entries[n].label] = result, value, nearer
    if not late_budgets:
        return nothing, []
    return nothing, [
        f"At {', '.join(map(str, late_budgets))} evaluations there was no time to compare all stochastic "
        "samplers in distribution (fd_conv)."
    ]


def _shares(weights: Mapping[int, float]) -> dict[int, float]:
    """Return the share of the time that is over when each is done, in order."""
    total, at, shares = sum(weights.values()), 0.0, {}
    for key, weight in weights.items():
        at += weight
        shares[key] = at / total if total else 1.0
    return shares


PACKAGES = (samplers, models, metrics, planning, sampling, scoring, tuning)


def question_of(model_run: AdviceRequest) -> dict[str, Any]:
    """Return these dependencies as JSON values."""
    model = model_run.model
    return {
        "model": model_run.spec,
        "identity": model.identity,
        "extractor": model_run.features.identity if model_run.features else None,
        "range": [model.sigma_min, model.sigma_max],
        "dtype": str(model.dtype),
        "device": model_run.device,
        "seed": model_run.seed,
        "batch": model_run.batch,
        "torch": torch.__version__,
        "code": _code(),
        "plugins": [
            hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
            for file in samplers.plugin_files()
        ],
    }


@cache
def _code() -> str:
    """Return a digest of the files that make samples and distances."""
    digest = hashlib.sha256()
    folders = [Path(str(package.__file__)).parent for package in PACKAGES]
    for folder in (*folders, Path(__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder)
            digest.update(f"{folder.name}/{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


BUDGETS = (4, 6, 8, 10, 15, 20)
MINUTES = 10.0
SHARE_OF_SCORES = 0.4
"""Share that scores may take of the time from the races to the end of the distances in distribution."""
DISTRIBUTED, SHOWN = 0.96, 1.0
"""Shares of the time at which distances in distribution, and then times and pictures, are broken off."""
FITS, BROKEN_OFF = "Fits of levels and coefficients", "which the time that was given broke off"
COARSE = "There was no time to find out more exactly where latents lead: errors near that limit say nothing."
ANSWER = "advice.json"


def _nothing_at(budgets: Sequence[int]) -> str:
    return (
        f"At {', '.join(map(str, budgets))} evaluations nothing was raced before the time was up."
    )


def silent(_stage: str) -> None:
    """Ignore a progress message."""


def advise(
    model: str,
    nfe: Sequence[int] = BUDGETS,
    *,
    out: Path | str,
    minutes: float = MINUTES,
    ms: float | None = None,
    library: str = LIBRARIES[0],
    default: str | None = None,
    only: Sequence[str] = (),
    extractor: str = "card",
    device: str = "cpu",
    seed: int = 0,
    executor: Executor | None = None,
    progress: Progress = silent,
    begun: float | None = None,
) -> Advice:
    """Find the sampler and the noise levels of a model at each number of evaluations.

    Args:
        model: its spec, as ``--model`` takes it.
        nfe: evaluations per sample.
        out: folder of the answer; what it has measured before of the same question is used.
        minutes: wall time to spend; in the main thread, what still runs at the limit is broken off.
        ms: milliseconds that a sample may take, in place of ``nfe``.
        library: whose users ask, of :data:`samplerbench.benchmarks.advice.exports.LIBRARIES`.
        default: what is used now, ``SAMPLER`` or ``SAMPLER on SCHEDULE``; None for the scheduler that came
            with the checkpoint, or what is usual for its kind.
        only: samplers to race in place of all.
        extractor: feature space of distances in distribution.
        device: "cpu" or "cuda".
        seed: of the latents.
        executor: where samplers run; None for this process.
        progress: called with each stage, in words.
        begun: when the time began, by ``time.monotonic()``; None for now.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense, or there is too little
            time; the sentence names it.
    """
    clock = Clock(minutes, begun=begun)
    if library not in LIBRARIES:
        raise ValueError(f"there is no library {library!r}; choose one of {', '.join(LIBRARIES)}")
    folder = Path(out)
    check_folder(folder)
    if default is not None:
        sampler_of(default)  # before a model is loaded, which may take minutes
    model_run = load_subject(model, device, seed, extractor, only, library)
    run = Run(
        model_run,
        folder,
        clock,
        executor or InProcess(),
        model_run.now(default),
        library,
        ms,
        progress,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with leading(folder):
        try:
            return _answered(run, nfe)
        except Failure as failure:
            raise ValueError(
                f"model {model_run.spec} cannot be advised on: {failure.reason}"
            ) from failure


def _answered(run: Run, asked_for: Sequence[int]) -> Advice:
    model_run, store = run.asked, Store(run.out, question_of(run.asked))
    extractors = {model_run.spec: model_run.extractor}
    world = WorkerContext(
        WorkerConfig.here(extractors, model_run.device),
        {model_run.spec: model_run.model},
        extractors={model_run.spec: model_run.features},
    )
    run.progress(f"{model_run.spec}: how fast it is")
    rate, unit_rate = paces(run, world)
    budgets = budgets_of(run, asked_for, unit_rate)
    bench = Bench(
        model_run,
        store,
        run.executor,
        world,
        Truth(model_run, store, run.executor, world, most=most_steps(rate, run.clock.left)),
        rate,
        started=min(run.clock.spent / 60 / run.clock.minutes, 1.0),
    )
    check_time(run, bench, budgets)
    races: list[Raced] = []
    over = broken_off_at(run, bench, budgets)
    with suppress(OutOfTime), run.clock.breaking_off(over):
        for race in races_of(run, bench, budgets):
            races.append(race)
    if not races:
        raise ValueError(
            f"--minutes {run.clock.minutes:g} was too little: no race had samples when {over:.0%} of it was over; "
            "the same command goes on from there: give it more --minutes, or fewer and smaller --nfe"
        )
    late = budgets[len(races) :]
    fits = Tuned(races, {}, (f"{FITS}, {BROKEN_OFF}.",))
    with suppress(OutOfTime), run.clock.breaking_off(over):
        fits = tuned(run, bench, races, raced_until(run, bench, budgets))
    races, untuned = fits.races, fits.untuned
    chosen = {r.budget: chosen_of(run, r, untuned.get(r.budget, {}).values()) for r in races}
    run.progress("scoring on latents that chose nothing")
    seconds = 60 * run.clock.minutes * COMPARED - run.clock.spent
    alternatives = {n: model_run.alternatives(run.now, run.library, n) for n in chosen}
    scores: Scores = {n: {} for n in chosen}
    entries = {n: [*chosen[n], *alternatives[n]] for n in chosen}
    unfinished = [_nothing_at(late)] if late else []
    if bench.truth.most < RULE.last and (bench.truth.steps or 0) >= bench.truth.most:
        unfinished.append(COARSE)
    try:
        with run.clock.breaking_off(COMPARED):
            score(scores, bench, entries, SHARE_OF_SCORES * seconds)
    except OutOfTime:
        scores = of_one_length(scores)
        unfinished.append(f"Scores, {BROKEN_OFF}: they are on the latents that were reached.")
    in_distribution: dict[int, dict[str, tuple[Choice, Value, bool]]] = {n: {} for n in chosen}
    missing = [f"Distances in distribution (fd_conv), {BROKEN_OFF}."]
    with suppress(OutOfTime), run.clock.breaking_off(DISTRIBUTED):
        in_distribution, missing = distributions(run, bench, races, chosen)
    answers = [
        answer(
            run,
            bench,
            race,
            untuned.get(race.budget, {}),
            chosen[race.budget],
            alternatives[race.budget],
            scores,
            in_distribution[race.budget],
        )
        for race in races
    ]
    batch, pictured = 0, False
    with suppress(OutOfTime), run.clock.breaking_off(SHOWN):
        answers, batch = timed(run, bench, answers, chosen)
        pictured = drawn(run, bench, answers, chosen)
    count = max((len(s) for by_label in scores.values() for s in by_label.values()), default=0)
    advice = Advice(
        model=model_run.spec,
        about=described(model_run.model),
        default=default_in_words(run),
        library=run.library,
        budgets=tuple(answers),
        sentences=sentences(
            answers,
            default_in_words(run),
            run.library,
            halves(run, races, chosen, scores),
            span_of(model_run.model),
        ),
        undecided=(
            *unfinished,
            *(a.undecided for a in answers if a.undecided),
            *fits.untold,
            *missing,
        ),
        scored_on=count,
        resolution=bench.truth.resolution,
        minutes=(run.clock.spent / 60, run.clock.minutes),
        device=str(provenance(model_run.device)["device"].get("name", model_run.device)),
        timed_batch=batch,
        command=shlex.join(["samplerbench", *sys.argv[1:]]),
        pictures=FILE if pictured else "",
        provenance=provenance(model_run.device),
    )
    write_json(run.out / ANSWER, advice.to_json())
    return advice
