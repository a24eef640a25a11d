"""Tuning of samplers on a model; each result becomes an entry of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..planning.model_loading import NamedModel
from ..planning.tuned_file import Tuned, check_writable, read_tuned, write_tuned
from ..running.executors import Executor, Failure, Tell
from ..running.executors.tasks import SentSampler
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from .tuning import ModelTuning, Target


@dataclass(frozen=True)
class TuneTask:
    """Task to tune a target on the first of two models and to score it on both."""

    target: Target
    models: tuple[str, str]
    options: tuple[Any, ...]

    def prepare(self, world: WorkerContext) -> None:
        """Load the models."""
        self._tuning(world)

    def __call__(self, world: WorkerContext, tell: Tell) -> Tuned:
        """Tune the target, and return its entry of the file."""
        return self._tuning(world)(self.target, tell)

    def __reduce__(self) -> tuple[Callable[..., TuneTask], tuple[Any, ...]]:
        """Pickle the task with its sampler by name."""
        sampler, steps = self.target
        return _unpickle_task, (SentSampler.of(sampler), steps, self.models, self.options)

    def _tuning(self, world: WorkerContext) -> ModelTuning:
        def make_tuning() -> ModelTuning:
            subject, other = (NamedModel(name, world.load(name).model) for name in self.models)
            return ModelTuning(subject, other, *self.options, device=world.setting.device)

        return world.once((self.models, self.options), make_tuning)


def _unpickle_task(
    sampler: SentSampler, steps: int, models: tuple[str, str], options: tuple[Any, ...]
) -> TuneTask:
    return TuneTask(Target(sampler.restore_sampler(), steps), models, options)


def tune_targets(
    file: Path,
    tuning: ModelTuning,
    targets: Sequence[Target],
    executor: Executor,
    progress: Callable[[str], None],
) -> tuple[list[Tuned], dict[Target, Failure]]:
    """Return the entries of targets, from a file or tuned now, and failures of the other targets.

    Searches run in sequence, each as one task, since they share the costly converged endpoints.
    Each entry is written as soon as it is found, and replaces the target's entry, if it had one.
    ``progress`` gets each stage, in words.

    Raises a ValueError if the file is no tuning file, or cannot be written.
    """
    check_writable(file)
    options = (tuning.latents, tuning.test_latents, tuning.seed, tuning.objective, tuning.what)
    options += (tuning.also, tuning.loss)
    models = {each.name: each.model for each in (tuning.subject, tuning.other)}
    world = WorkerContext(WorkerConfig.here({}, tuning.device), models)
    entries, failures = [], {}
    for target in targets:
        stored = _read_entries(file)
        subject, setting = tuning.subject_of(target), tuning.setting
        entry = next((e for e in stored if (e.subject, e.setting) == (subject, setting)), None)
        if entry is None:
            task = TuneTask(target, (tuning.subject.name, tuning.other.name), options)
            try:
                entry = executor.run(task, world, tell=progress)
            except Failure as failure:
                failures[target] = failure
                continue
            stored = _read_entries(file)  # another process may have written meanwhile
            write_tuned(file, [*(e for e in stored if e.subject != subject), entry])
        entries.append(entry)
    return entries, failures


def _read_entries(file: Path) -> tuple[Tuned, ...]:
    return read_tuned(file) if file.exists() else ()
