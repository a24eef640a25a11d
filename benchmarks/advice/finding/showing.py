"""Milliseconds and pictures of the default and the recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ....models import Denoiser
from ...running.executing import Failure
from ...running.executing.executor import always
from ..answer import Budget, Choice
from ..answer.pictures import COUNT, Pictures, Pictures8, shown
from ..asked.subject import Entry
from ..racing.measuring import Bench
from ..racing.tasks import Pictured, Taken
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
            task = Taken(entry.cell, 1, TIMED_REPEATS)
            found = next(iter(run.executor.map([task], bench.world, wanted=always)))[1]
            if not isinstance(found, Failure):
                times[answer.nfe, label] = found
    return [_with_times(answer, times) for answer in answers], int(bool(times))


def _with_times(answer: Budget, times: Mapping[tuple[int, str], float]) -> Budget:
    def timed(one: Choice) -> Choice:
        return replace(one, ms=times.get((answer.nfe, one.label)))

    best = {name: replace(found, choice=timed(found.choice)) for name, found in answer.best.items()}
    return replace(answer, default=timed(answer.default), best=best)


def drawn(
    run: Run, bench: Bench, answers: Sequence[Budget], chosen: Mapping[int, Sequence[Entry]]
) -> bool:
    """Draw pictures of the first scored latents; return True if there are any."""
    asked = run.asked
    if is_picture(asked.model) is False:
        return False
    run.progress("pictures")

    def pictured(x: object) -> Pictures8 | None:
        task = Pictured(asked.spec, asked.model.identity, asked.device, x)  # type: ignore[arg-type]
        return shown(run.executor.run(task, bench.world), asked.model.decoded_limits)

    ends = bench.truth.ends(SCORED, SCORED + COUNT, bench.truth.steps or 0)
    converged = pictured(ends.astype("float32"))
    if converged is None:
        return False
    made: dict[str, dict[int, Pictures8]] = {"default": {}, "best": {}}
    for answer in answers:
        entries = {entry.label: entry for entry in chosen[answer.nfe]}
        wanted = {"default": answer.default.label}
        if run.library in answer.best:
            wanted["best"] = answer.best[run.library].choice.label
        some = [entries[label] for label in wanted.values()]
        those = [n for n, e in enumerate(some) if runs(e)]
        for which, found in list(bench.samples([some[n] for n in those], SCORED, SCORED + COUNT)):
            if not isinstance(found, Failure):
                image = pictured(found["endpoint"])
                if image is not None:
                    made[list(wanted)[those[which]]][answer.nfe] = image
    Pictures(converged, made["default"], made["best"]).write(run.out)
    return True


def is_picture(model: Denoiser) -> bool:
    """Return True if a model's samples are pictures."""
    event = model.decoded_event
    return len(event) == 3 and event[0] in (1, 3) and min(event[1:]) >= 8
