"""Function ``advise``: from the request, over races, fits and scores, to the stored answer."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ... import models, samplers
from ...results.run_directory.files import write_json
from ...results.run_directory.sharing import hold_lead
from .. import metrics, planning, sampling, scoring, tuning
from ..running.executors import Executor, Failure, InProcess
from ..running.executors.executor import ignore_progress
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from ..running.provenance import provenance
from .answer import PICTURES, Advice
from .budget_answer import (
    Distances,
    Scores,
    add_times,
    answer_of_budget,
    draw_pictures,
    keep_common_latents,
    ratios_at_half_the_budget,
    score_on_fresh_latents,
)
from .budget_race import RaceResult
from .distribution import distances_by_budget
from .exports import LIBRARIES
from .leader_fits import Untuned, fit_leaders
from .measuring import (
    RULE,
    Bench,
    ConvergedEndpoints,
    MeasurementStore,
    check_folder,
    most_reference_steps,
)
from .race_planning import (
    budgets_of,
    check_time,
    entries_to_score,
    measure_rates,
    run_races,
    share_at_break_off,
    share_at_end_of_races,
)
from .request import AdviceRequest, load_subject, parse_current_sampler, width_of_data_range
from .run import COMPARED, Clock, OutOfTime, Progress, Run
from .sentences import conclusions
from .tasks import BATCH
from .wording import evaluations_in_words

PACKAGES = (samplers, models, metrics, planning, sampling, scoring, tuning)


def _question_of(request: AdviceRequest) -> dict[str, Any]:
    """Return all inputs that the measurements depend on, as JSON values."""
    model = request.model
    return {
        "model": request.spec,
        "identity": model.identity,
        "extractor": request.features.identity if request.features else None,
        "range": [model.sigma_min, model.sigma_max],
        "dtype": str(model.dtype),
        "device": request.device,
        "seed": request.seed,
        "batch": BATCH,
        "torch": torch.__version__,
        "code": _digest_of_code_files(),
        "plugins": [
            hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
            for file in samplers.plugin_files()
        ],
    }


@cache
def _digest_of_code_files() -> str:
    """Return a digest of the Python files that samples and distances depend on."""
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
"""Largest share of the time between the fits and ``COMPARED`` that scores may take."""
DISTRIBUTED, SHOWN = 0.96, 1.0
"""Shares of the time limit at which two stages stop: Fréchet distances; timings and pictures."""
COARSE = "There was no time for more exact converged samples. Errors close to their precision say nothing."


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
    progress: Progress = ignore_progress,
    begun: float | None = None,
) -> Advice:
    """Find the best sampler and noise levels for a model at each budget, and return the answer.

    Args:
        model: spec of the model, a value of ``--model``.
        nfe: budgets in evaluations per sample, with a race for each.
        out: folder of answer and measurements. Measurements of the same model, code and settings are used again.
        minutes: wall time to spend. In the main thread, a stage that runs beyond its own share is broken off.
        ms: milliseconds that a sample may take, in place of ``nfe``.
        library: library to recommend for, one of :data:`samplerbench.benchmarks.advice.exports.LIBRARIES`.
        default: present sampler, as ``SAMPLER`` or ``SAMPLER on SCHEDULE``. None takes the checkpoint's scheduler
            or, for a model without one, the usual sampler for such models.
        only: samplers to race; empty for all.
        extractor: feature space of Fréchet distances, a value of ``--extractor``.
        device: "cpu" or "cuda".
        seed: seed of the latents.
        executor: executor that runs the tasks; None for this process.
        progress: function that is called with the name of each stage.
        begun: value of ``time.monotonic()`` from which ``minutes`` count; None for now.

    Raises:
        ValueError: an argument is invalid, the model fails, time is too short, or another process uses ``out``.
    """
    clock = Clock(minutes, begun=begun)
    if library not in LIBRARIES:
        raise ValueError(f"there is no library {library!r}; choose one of {', '.join(LIBRARIES)}")
    folder = Path(out)
    check_folder(folder)
    if default is not None:
        parse_current_sampler(default)  # before a model is loaded, which may take minutes
    request = load_subject(model, device, seed, extractor, only, library)
    now, runs_in = request.current_configuration(default), executor or InProcess()
    run = Run(request, folder, clock, runs_in, now, library, ms, progress)
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lead(folder):
        try:
            return _advice_of(run, nfe)
        except Failure as failure:
            raise ValueError(
                f"model {request.spec} cannot be advised on: {failure.reason}"
            ) from failure


def _advice_of(run: Run, nfe: Sequence[int]) -> Advice:
    request, model, clock = run.request, run.request.model, run.clock
    store = MeasurementStore(run.out, _question_of(request))
    world = WorkerContext(
        WorkerConfig.here({request.spec: request.extractor}, request.device),
        {request.spec: model},
        extractors={request.spec: request.features},
    )
    run.progress(f"{request.spec}: how fast it is")
    rate, unit_rate = measure_rates(run, world)
    budgets = budgets_of(run, nfe, unit_rate)
    endpoints = ConvergedEndpoints(
        request, store, run.executor, world, most=most_reference_steps(rate, clock.left)
    )
    started = min(clock.spent / 60 / clock.minutes, 1.0)
    bench = Bench(request, store, run.executor, world, endpoints, rate, started=started)
    check_time(run, bench, budgets)
    races: list[RaceResult] = []
    over = share_at_break_off(run, bench, budgets)
    with suppress(OutOfTime), clock.raise_when_over(over):
        for race in run_races(run, bench, budgets):
            races.append(race)
    if not races:
        raise ValueError(
            f"--minutes {clock.minutes:g} was too little: no race had samples when {over:.0%} of it was over; "
            "the same command goes on from there: give it more --minutes, or fewer and smaller --nfe"
        )
    untuned = Untuned()
    not_fitted = ["Time ran out while noise levels and coefficients were fitted."]
    with suppress(OutOfTime), clock.raise_when_over(over):
        until = share_at_end_of_races(run, bench, budgets)
        races, untuned, not_fitted = fit_leaders(run, bench, races, until)
    chosen = {r.budget: entries_to_score(run, r, untuned.get(r.budget, {}).values()) for r in races}
    run.progress("measuring errors on new samples")
    seconds = 60 * clock.minutes * COMPARED - clock.spent
    alternatives = {n: request.alternatives(run.now, run.library, n) for n in chosen}
    scores: Scores = {n: {} for n in chosen}
    entries = {n: [*chosen[n], *alternatives[n]] for n in chosen}
    unfinished = []
    if late := budgets[len(races) :]:
        unfinished.append(f"There was no time for {evaluations_in_words(*late)}.")
    if endpoints.most < RULE.last and (endpoints.steps or 0) >= endpoints.most:
        unfinished.append(COARSE)
    try:
        with clock.raise_when_over(COMPARED):
            score_on_fresh_latents(scores, bench, entries, SHARE_OF_SCORES * seconds)
    except OutOfTime:
        scores = keep_common_latents(scores)
        unfinished.append("Time ran out while errors were measured, so they are on fewer samples.")
    distances: dict[int, Distances] = {n: {} for n in chosen}
    missing = ["Time ran out while samples were compared as whole sets (fd_conv)."]
    with suppress(OutOfTime), clock.raise_when_over(DISTRIBUTED):
        distances, missing = distances_by_budget(run, bench, races, chosen)
    answers = [
        answer_of_budget(run, bench, race, untuned, chosen, alternatives, scores, distances)
        for race in races
    ]
    batch, pictured = 0, False
    with suppress(OutOfTime), clock.raise_when_over(SHOWN):
        answers, batch = add_times(run, bench, answers, chosen)
        pictured = draw_pictures(run, bench, answers, chosen)
    default, made_by = run.now.words, provenance(request.device)
    ratios = ratios_at_half_the_budget(run, races, chosen, scores)
    advice = Advice(
        model=request.spec,
        about={
            "event": list(model.event),
            "sigma_min": model.sigma_min,
            "sigma_max": model.sigma_max,
            "passes": model.passes,
            "identity": model.identity,
            "latent": model.decoder is not None,
        },
        default=default,
        library=run.library,
        budgets=tuple(answers),
        sentences=conclusions(answers, default, run.library, ratios, width_of_data_range(model)),
        undecided=(
            *unfinished,
            *(a.undecided for a in answers if a.undecided),
            *not_fitted,
            *missing,
        ),
        scored_on=max((len(s) for of in scores.values() for s in of.values()), default=0),
        resolution=endpoints.resolution,
        minutes=(clock.spent / 60, clock.minutes),
        device=str(made_by["device"].get("name", request.device)),
        timed_batch=batch,
        command=shlex.join(["samplerbench", *sys.argv[1:]]),
        pictures=PICTURES if pictured else "",
        provenance=made_by,
    )
    write_json(run.out / "advice.json", advice.to_json())
    return advice
