"""Tuner of samplers on a model, entry by entry, each written as soon as it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..planning.models import NamedModel
from ..planning.tuned_file import WHATS, Tuned, What, check_writable, read_tuned, write_tuned
from ..running.executors import Executor, Failure, InProcess, Tell
from ..running.executors.tasks import SentSampler
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from .problem import MOST
from .search import OBJECTIVES
from .tuning import Target, Tuning


@dataclass(frozen=True)
class TuneTask:
    """Task to tune a target on the first of two models, and to score it on both. Tasks of one world share their
    endpoints, and the cost of these. The options are further arguments of :class:`.Tuning`.
    """

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

    def _tuning(self, world: WorkerContext) -> Tuning:
        def make_tuning() -> Tuning:
            subject, other = (NamedModel(name, world.subject(name).model) for name in self.models)
            return Tuning(subject, other, *self.options, device=world.setting.device)

        return world.once((self.models, self.options), make_tuning)


def _unpickle_task(
    sampler: SentSampler, steps: int, models: tuple[str, str], options: tuple[Any, ...]
) -> TuneTask:
    return TuneTask(Target(sampler.restore_sampler(), steps), models, options)


@dataclass
class Tuner:
    """Tuner that writes into a file. Searches run one after the other, each as one task: an evaluation
    depends on the ones before, and all searches share the converged endpoints, which cost most.

    Attributes:
        file: of entries; what it holds of the same subject and setting is not tuned again, and of
            another setting is replaced.
        subject, other: the model to tune on, and the one to score on too.
        latents, test_latents: how many to tune on, and to measure the gap on, each at least 2.
        objective, what: of :data:`.search.OBJECTIVES` and :data:`~samplerbench.benchmarks.planning.tuned_file.WHATS`.
        progress: called with each stage, in words.
        failures: of the targets that the last call could not tune, by target.
    """

    file: Path
    subject: NamedModel
    other: NamedModel
    latents: int = 256
    test_latents: int = 256
    seed: int = 0
    objective: str = "mean"
    device: str = "cpu"
    executor: Executor = field(default_factory=InProcess)
    progress: Callable[[str], None] = print
    what: What = "grid"
    failures: dict[Target, Failure] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for option, count in (("--latents", self.latents), ("--test-latents", self.test_latents)):
            if not 2 <= count <= MOST:
                raise ValueError(f"{option} {count}: give between 2 and {MOST} latents")
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"--objective {self.objective!r}: choose one of {', '.join(OBJECTIVES)}"
            )
        if self.what not in WHATS:
            raise ValueError(f"--what {self.what!r}: choose one of {', '.join(WHATS)}")
        if self.other.model.identity == self.subject.model.identity:
            raise ValueError(
                f"--holdout-model {self.other.name} is the model that is tuned on; give another one"
            )

        self._options = (self.latents, self.test_latents, self.seed, self.objective, self.what)
        models = {named.name: named.model for named in (self.subject, self.other)}
        self._world = WorkerContext(WorkerConfig.here({}, self.device), models)

    def __call__(self, targets: Sequence[Target]) -> list[Tuned]:
        """Return the entries of the targets (:func:`.targets_of`), from the file or tuned now, without
        :attr:`failures`; raise ValueError if the file is something else, or cannot be written.
        """
        check_writable(self.file)
        self.failures = {}
        about = Tuning(self.subject, self.other, *self._options, device=self.device)
        entries = []
        for target in targets:
            stored = self._read_entries()
            subject, setting = about.subject_of(target), about.setting
            entry = next((e for e in stored if (e.subject, e.setting) == (subject, setting)), None)
            if entry is None:
                task = TuneTask(target, (self.subject.name, self.other.name), self._options)
                try:
                    entry = self.executor.run(task, self._world, tell=self.progress)
                except Failure as failure:
                    self.failures[target] = failure
                    continue
                stored = self._read_entries()  # another process may have written meanwhile
                write_tuned(self.file, [*(e for e in stored if e.subject != subject), entry])
            entries.append(entry)
        return entries

    def _read_entries(self) -> tuple[Tuned, ...]:
        return read_tuned(self.file) if self.file.exists() else ()
