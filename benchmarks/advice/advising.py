"""Function ``advise``, which races, fits and scores configurations, and stores the answer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ... import models, samplers
from ...results.run_directory.files import write_json
from ...results.run_directory.sharing import hold_lead
from ...samplers.registry import plugin_origins
from .. import metrics, planning, sampling, scoring, tuning
from ..running.executors import Executor, Failure, InProcess
from ..running.executors.executor import ignore_progress
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from ..running.provenance import provenance
from .answer import PICTURES, Advice
from .budget_answer import (
    add_times,
    answer_of_budget,
    choose_entries,
    draw_pictures,
    keep_common_latents,
    ratios_at_half_the_budget,
    score_on_fresh_latents,
)
from .candidates import BATCH
from .distribution import measure_distances
from .exports import LIBRARIES
from .leader_fits import fit_leaders, share_for_fits
from .measuring import (
    RULE,
    ConvergedEndpoints,
    MeasurementStore,
    check_folder,
    most_reference_steps,
)
from .races import least_seconds, race_fits, run_races
from .request import AdviceRequest, make_request, width_of_data_range
from .run import COMPARISONS_END, AdviceRun, BudgetResult, Clock, OutOfTime, Progress
from .sentences import conclusions
from .tasks import measure_speeds
from .wording import evaluations_in_words

PACKAGES = (samplers, models, metrics, planning, sampling, scoring, tuning)


def _inputs_of(request: AdviceRequest) -> dict[str, Any]:
    model = request.model
    return {
        "model": request.spec,
        "identity": model.identity,
        "extractor": request.feature_extractor.identity if request.feature_extractor else None,
        "range": [model.sigma_min, model.sigma_max],
        "dtype": str(model.dtype),
        "device": request.device,
        "seed": request.seed,
        "batch": BATCH,
        "torch": torch.__version__,
        "code": _digest_of_code_files(),
        "plugins": plugin_origins() | request.foreign_sampler_digests(),
    }


@cache
def _digest_of_code_files() -> str:
    digest = hashlib.sha256()
    folders = [Path(str(package.__file__)).parent for package in PACKAGES]
    for folder in (*folders, Path(__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder)
            digest.update(f"{folder.name}/{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


BUDGETS = (4, 6, 8, 10, 15, 20)
MINUTES = 10.0
RATED = 8
"""Batch size at which the rate is measured, about as in the first rounds of a race."""
SHARE_OF_SCORES = 0.4
"""Largest share of the time between the fits and ``COMPARISONS_END`` that scores may take."""
DISTANCES_END, PICTURES_END = 0.96, 1.0
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
    command: str = "",
) -> Advice:
    """Find the best sampler and noise levels for a model at each budget, and return the answer.

    Args:
        model: spec of the model, a value of ``--model``.
        nfe: budgets in evaluations per sample, with a race for each.
        out: folder of answer and measurements. Measurements of the same model, code and settings are used again.
        minutes: limit of the wall time. In the main thread, a stage that uses up its share of it is interrupted.
        ms: milliseconds that a sample may take. They decide the only budget, and ``nfe`` is not used.
        library: library to recommend for, one of :data:`samplerbench.benchmarks.advice.exports.LIBRARIES`.
        default: sampler in use now, as ``SAMPLER`` or ``SAMPLER on SCHEDULE``. None takes the checkpoint's scheduler
            or, for a model without one, the usual sampler for such models.
        only: samplers to race; empty for all.
        extractor: feature space of Fréchet distances, a value of ``--extractor``.
        device: "cpu" or "cuda".
        seed: seed of the latents.
        executor: executor that runs the tasks; None for this process.
        progress: function that is called with the name of each stage.
        begun: value of ``time.monotonic()`` from which ``minutes`` count; None for now.
        command: command or call that asks for this advice, for the answer.

    Raises:
        ValueError: an argument is invalid, the model fails, time is too short, or another process uses ``out``.
    """
    if not 0 < minutes < math.inf:
        raise ValueError(f"--minutes must be a finite time above 0, got {minutes}")
    if ms is not None and not 0 < ms < math.inf:
        raise ValueError(f"--ms must be a finite time above 0, got {ms}")
    clock = Clock(minutes, begun=begun)
    if library not in LIBRARIES:
        raise ValueError(f"there is no library {library!r}; choose one of {', '.join(LIBRARIES)}")
    folder = Path(out)
    check_folder(folder)
    request = make_request(model, device, seed, extractor, only, library, default)
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lead(folder):
        try:
            executor = executor or InProcess()
            return _advice_of(request, nfe, ms, folder, clock, executor, progress, command)
        except Failure as failure:
            raise ValueError(
                f"model {request.spec} cannot be advised on: {failure.reason}"
            ) from failure


def _measure_rates(
    request: AdviceRequest, executor: Executor, context: WorkerContext
) -> tuple[float, float]:
    """Return evaluations a second: of all workers together at batch size RATED, of one alone at 1."""
    (alone,) = executor.run(request.task(measure_speeds, (1,)), context)
    task, together = request.task(measure_speeds, (RATED,)), 0.0
    for _, outcome in executor.map([task] * executor.size, context):
        if isinstance(outcome, Failure):
            raise outcome
        together += outcome[0]
    return together, alone


def _budgets_of(
    request: AdviceRequest, asked_for: Sequence[int], ms: float | None, unit_rate: float
) -> list[int]:
    """Return the budgets to race at, rising: ``asked_for``, or the only one that takes ``ms``."""
    passes = request.model.passes
    if ms is None:
        least = min(asked_for)
        if least < passes:
            raise ValueError(
                f"--nfe {least}: a step of model {request.spec} costs {passes} evaluations; "
                f"give {passes} or more"
            )
        return sorted(set(asked_for))
    within = int(ms * unit_rate / 1000)
    if within < max(2, passes):
        raise ValueError(
            f"--ms {ms:g}: an evaluation of model {request.spec} takes {1000 / unit_rate:.3g} ms here, "
            f"so that there is time for {within}; give --ms {2 * max(2, passes) * 1000 / unit_rate:.2g} or more"
        )
    return [within]


def _check_time(run: AdviceRun) -> None:
    """Raise a ValueError if the time is too short for the smallest useful race at each budget."""
    needed = least_seconds(run, run.budgets)
    if needed > run.clock.seconds_until(COMPARISONS_END):  # loading the model can take long
        raise ValueError(
            f"--minutes {run.clock.minutes:g} is too little: model {run.request.spec} makes "
            f"{run.rate:.3g} evaluations a second here, and the least race at "
            f"{', '.join(map(str, run.budgets))} evaluations takes about "
            f"{1.2 * (needed + run.clock.spent) / 60:.2g} minutes; "
            "give more --minutes, or fewer and smaller --nfe"
        )


def _advice_of(
    request: AdviceRequest,
    nfe: Sequence[int],
    ms: float | None,
    out: Path,
    clock: Clock,
    executor: Executor,
    progress: Progress,
    command: str,
) -> Advice:
    model, library = request.model, request.library
    store = MeasurementStore(out, _inputs_of(request))
    context = WorkerContext(
        WorkerConfig.of_this_process({request.spec: request.extractor}, request.device),
        {request.spec: model},
        {request.spec: request.feature_extractor},
    )
    progress(f"{request.spec}: how fast it is")
    rate, unit_rate = _measure_rates(request, executor, context)
    budgets = _budgets_of(request, nfe, ms, unit_rate)
    most = most_reference_steps(rate, clock.seconds_until(1))
    endpoints = ConvergedEndpoints(request, store, executor, context, most=most)
    started = min(clock.share_spent, 1.0)
    run = AdviceRun(
        request, out, clock, executor, context, store, endpoints, rate, budgets, progress, started
    )
    _check_time(run)
    results: list[BudgetResult] = []
    over = run.break_off_share
    with suppress(OutOfTime), clock.raise_when_over(over):
        for race in run_races(run, share_for_fits):
            results.append(race)
    if not results:
        raise ValueError(
            f"--minutes {clock.minutes:g} was too little: no race had samples when {over:.0%} of it was over; "
            "the same command goes on from there: give it more --minutes, or fewer and smaller --nfe"
        )
    not_fitted = ["Time ran out while noise levels and coefficients were fitted."]
    with suppress(OutOfTime), clock.raise_when_over(over):
        fitted, open_fits = fit_leaders(run, results)
        results, not_fitted = race_fits(run, results, fitted), open_fits
    for race in results:
        choose_entries(run, race)
    progress("measuring errors on new samples")
    unfinished = []
    if late := budgets[len(results) :]:
        unfinished.append(f"There was no time for {evaluations_in_words(*late)}.")
    if endpoints.most < RULE.last and (endpoints.steps or 0) >= endpoints.most:
        unfinished.append(COARSE)
    try:
        with clock.raise_when_over(COMPARISONS_END):
            score_on_fresh_latents(
                run, results, SHARE_OF_SCORES * clock.seconds_until(COMPARISONS_END)
            )
    except OutOfTime:
        keep_common_latents(results)
        unfinished.append("Time ran out while errors were measured, so they are on fewer samples.")
    missing = ["Time ran out while samples were compared as whole sets (fd_conv)."]
    with suppress(OutOfTime), clock.raise_when_over(DISTANCES_END):
        try:
            missing = measure_distances(run, results)
        except Failure as failure:  # of the extractor, which nothing has run before
            missing = [f"Samples have no fd_conv: {failure.reason}."]
    answers = [answer_of_budget(run, race) for race in results]
    batch, pictured = 0, False
    with suppress(OutOfTime), clock.raise_when_over(PICTURES_END):
        answers, batch = add_times(run, answers, results)
        try:
            pictured = draw_pictures(run, results)
        except Failure as failure:  # of the decoder
            missing.append(f"There are no pictures: {failure.reason}.")
    default, made_by = request.current_configuration.words, provenance(request.device)
    ratios = ratios_at_half_the_budget(run, results)
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
        library=library,
        budgets=tuple(answers),
        sentences=conclusions(answers, default, library, ratios, width_of_data_range(model)),
        undecided=(
            *unfinished,
            *(a.undecided for a in answers if a.undecided),
            *(
                f"With {evaluations_in_words(a.nfe)} auto was not tried: {why}."
                for a in answers
                if (why := run.without_auto.get(a.nfe))
            ),
            *not_fitted,
            *missing,
        ),
        scored_on=max((len(s) for race in results for s in race.squares.values()), default=0),
        resolution=endpoints.resolution,
        minutes=(clock.spent / 60, clock.minutes),
        device=str(made_by["device"].get("name", request.device)),
        timed_batch=batch,
        command=command,
        pictures=PICTURES if pictured else "",
        provenance=made_by,
    )
    write_json(out / "advice.json", advice.to_json())
    return advice
