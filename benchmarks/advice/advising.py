"""The whole of ``advise``: what is asked, the race of each budget, the score, and the answer."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ...results.run_directory.disk.files import write_json
from ...results.run_directory.leading import leading
from ..running.executing import Executor, Failure, InProcess
from ..running.executing.world import Setting, World
from ..running.provenance import provenance
from .answer import Advice
from .answer.pictures import FILE
from .asked.question import question_of
from .asked.subject import described, load, span_of
from .exports import LIBRARIES
from .finding.answers import answer, default_in_words, halves
from .finding.distributions import distributions
from .finding.races import chosen_of, raced_until, races_of
from .finding.run import Progress, Run
from .finding.showing import drawn, timed
from .finding.time import COMPARED, budgets_of, check_time, paces
from .finding.tuning import tuned
from .racing.clock import Clock
from .racing.measuring import Bench
from .racing.scoring import scored
from .racing.store import Store, check_folder
from .racing.truth import Truth
from .sentences import sentences

BUDGETS = (4, 6, 8, 10, 15, 20)
MINUTES = 10.0
SHARE_OF_SCORES = 0.4
"""Of the time after the races, until the distances in distribution are done, that the scores may take."""
ANSWER = "advice.json"


def silent(_stage: str) -> None:
    """Tells nobody."""


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
) -> Advice:
    """Which sampler on which noise levels, at each number of evaluations, for a model.

    Args:
        model: its spec, as ``--model`` takes it.
        nfe: evaluations per sample.
        out: folder of the answer; what it has measured before of the same question is used.
        minutes: wall time to spend, about.
        ms: milliseconds that a sample may take, in place of ``nfe``.
        library: whose users ask, of :data:`samplerbench.benchmarks.advice.exports.LIBRARIES`.
        default: what is used now, ``SAMPLER`` or ``SAMPLER on SCHEDULE``; None for the scheduler that came
            with the checkpoint, or what is usual for its kind.
        only: samplers to race in place of all.
        extractor: feature space of distances in distribution.
        device: "cpu" or "cuda".
        seed: of the latents.
        executor: where samplers run; None for this process.
        progress: told what is being done.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense, or there is too little
            time; the sentence names it.
    """
    clock = Clock(minutes)
    if library not in LIBRARIES:
        raise ValueError(f"there is no library {library!r}; choose one of {', '.join(LIBRARIES)}")
    asked = load(model, device, seed, extractor, only)
    folder = Path(out)
    run = Run(
        asked, folder, clock, executor or InProcess(), asked.now(default), library, ms, progress
    )
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with leading(folder):
        try:
            return _answered(run, nfe)
        except Failure as failure:
            raise ValueError(
                f"model {asked.spec} cannot be advised on: {failure.reason}"
            ) from failure


def _answered(run: Run, asked_for: Sequence[int]) -> Advice:
    asked, store = run.asked, Store(run.out, question_of(run.asked))
    extractors = {asked.spec: asked.extractor}
    world = World(
        Setting.here(extractors, asked.device),
        {asked.spec: asked.model},
        extractors={asked.spec: asked.features},
    )
    run.progress(f"{asked.spec}: how fast it is")
    rate, one = paces(run, world)
    budgets = budgets_of(run, asked_for, one)
    bench = Bench(
        asked,
        store,
        run.executor,
        world,
        Truth(asked, store, run.executor, world),
        rate,
    )
    check_time(run, bench, budgets)
    fits = tuned(run, bench, races_of(run, bench, budgets), raced_until(run, bench, budgets))
    races, untuned = fits.races, fits.untuned
    chosen = {r.budget: chosen_of(run, r, untuned.get(r.budget, {}).values()) for r in races}
    run.progress("scoring on latents that chose nothing")
    left = 60 * run.clock.minutes * COMPARED - run.clock.spent
    scores = scored(bench, chosen, SHARE_OF_SCORES * left)
    in_distribution, untold = distributions(run, bench, races, chosen)
    answers = [
        answer(
            run,
            bench,
            race,
            untuned.get(race.budget, {}),
            chosen[race.budget],
            scores,
            in_distribution[race.budget],
        )
        for race in races
    ]
    answers, batch = timed(run, bench, answers, chosen)
    pictured = drawn(run, bench, answers, chosen)
    count = max((len(s) for each in scores.values() for s in each.values()), default=0)
    advice = Advice(
        model=asked.spec,
        about=described(asked.model),
        default=default_in_words(run),
        library=run.library,
        budgets=tuple(answers),
        sentences=sentences(
            answers,
            default_in_words(run),
            run.library,
            halves(run, races, chosen, scores),
            span_of(asked.model),
        ),
        undecided=(*(a.undecided for a in answers if a.undecided), *fits.untold, *untold),
        scored_on=count,
        resolution=bench.truth.resolution,
        minutes=(run.clock.spent / 60, run.clock.minutes),
        device=str(provenance(asked.device)["device"].get("name", asked.device)),
        timed_batch=batch,
        command=shlex.join(["samplerbench", *sys.argv[1:]]),
        pictures=FILE if pictured else "",
        provenance=provenance(asked.device),
    )
    write_json(run.out / ANSWER, advice.to_json())
    return advice
