"""Milliseconds and pictures of the default and the recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ....models import Denoiser
from ...running.executors import Failure
from ...running.executors.executor import always
from ..answer import Budget, Choice
from ..answer.pictures import COUNT, Pictures, Pictures8, as_8_bit_images
from ..asked.request import Entry
from ..racing.measuring import Bench
from ..racing.tasks import Pictured, TimingTask
from ..racing.truth import SCORED
from .run import Run, runs

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
