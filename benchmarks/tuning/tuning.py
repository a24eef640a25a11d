"""Tuning of targets on a model, and scores on other latents; each result is an entry of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ...models.denoiser import Denoiser
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import (
    move_coefficients,
)
from ...samplers.spec import label_of
from ..identity.sampler import origin_or_digest
from ..planning.budget import evaluations_by_steps, most_steps_within
from ..planning.model_loading import NamedModel
from ..planning.schedules import make_schedule
from ..planning.tuned_file import (
    ALSO,
    WHATS,
    Also,
    Cost,
    HoldOutResult,
    Loss,
    Score,
    Setting,
    TunedEntry,
    TunedKey,
    TuningScores,
    What,
    check_writable,
    read_tuned,
    write_tuned,
)
from ..planning.tuned_schedule import carry_grid, check_tunable
from ..running.executors import Executor, Failure, Tell
from ..running.executors.tasks import PicklableSampler
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from .problem import (
    MOST,
    OBJECTIVES,
    TEST_IDS,
    TRAIN_IDS,
    FeatureLoss,
    TuningProblem,
    make_loss,
    power_mean,
    tuning_problem,
)
from .search import SearchResult, fit_coefficients, search_levels


class Target(NamedTuple):
    """Sampler to tune for a number of steps."""

    sampler: Sampler
    steps: int

    @property
    def label(self) -> str:
        """Sampler and options as on the command line."""
        return label_of(self.sampler)

    def __reduce__(self) -> tuple[Callable[..., Target], tuple[Any, ...]]:
        """Pickle the sampler as its description, from which another process makes it again."""
        return _unpickle_target, (PicklableSampler.of(self.sampler), self.steps)


def _unpickle_target(sampler: PicklableSampler, steps: int) -> Target:
    return Target(sampler.restore_sampler(), steps)


def targets_of(
    samplers: Sequence[Any],
    model: Denoiser,
    steps: Sequence[int] | None,
    budgets: Sequence[int] | None,
    what: What = "grid",
    also: Sequence[Also] = (),
) -> list[Target]:
    """Return a target for each sampler and number of steps, without duplicates.

    If ``steps`` is None, the numbers are the most steps of the sampler within each budget. Raises a
    ValueError if a target cannot be tuned, or a step costs more than a budget.
    """
    karras = make_schedule("karras")
    targets = []
    for sampler in samplers:
        for size in steps or budgets or ():
            count: int | None = size
            if steps is None and not sampler.adaptive:  # check_tunable refuses adaptive ones
                cost = evaluations_by_steps(model, sampler, karras, "zero")
                count = most_steps_within(size, cost)
            if count is None:
                raise ValueError(
                    f"--nfe {size}: one step of {sampler.name} costs more; give a larger budget"
                )
            check_tunable(sampler, count, what, also)
            targets.append(Target(sampler, count))
    return list(dict.fromkeys(targets))


@dataclass
class ModelTuning:
    """Tuning of samplers on a model, with shared endpoints, and scoring on another model.

    ``latents`` (2 or more) are tuned on. ``test_latents`` (2 or more) measure the train-test gap.
    ``what`` and ``also`` are the kinds of numbers to tune (:mod:`.tuned_file`). ``loss`` is the
    extractor in whose features distances are minimised; None for distances of samples.
    """

    subject: NamedModel
    other: NamedModel
    latents: int
    test_latents: int
    seed: int
    objective: str
    what: What
    also: tuple[Also, ...]
    loss: str | None
    device: str
    _problems: dict[tuple[str, int], TuningProblem] = field(default_factory=dict, repr=False)
    _features: FeatureLoss | None = field(init=False, repr=False)
    _loss: Loss | None = field(init=False, repr=False)

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
        if unknown := set(self.also) - set(ALSO):
            raise ValueError(f"--also {min(unknown)!r}: choose one of {', '.join(ALSO)}")
        if self.what == "ratios" and self.also:
            raise ValueError("--what ratios tunes nothing else; leave out --also")
        if self.what == "grid" and "sums" in self.also:
            raise ValueError("--also sums moves coefficients; give --what coefficients or both")
        if self.other.model.identity == self.subject.model.identity:
            raise ValueError(
                f"--holdout-model {self.other.name} is the model that is tuned on; give another one"
            )
        if self.other.name == self.subject.name:
            raise ValueError(
                f"the model to tune on and the hold-out model are both named {self.other.name}; name one "
                "of them, such as samplerbench.from_function(…, name='other')"
            )
        made = None if self.loss is None else make_loss(self.subject, self.loss)
        self._features, self._loss = made or (None, None)

    def __call__(self, target: Target, tell: Tell) -> TunedEntry:
        """Return the entry of a target; report each stage to ``tell``, in words."""
        where = f"{self.subject.name}: {target.label}, {target.steps} steps"
        train, test = (self._problem(self.subject, first, tell) for first in (TRAIN_IDS, TEST_IDS))
        tell(f"{where}: searching")
        before, started = train.meter.rows, perf_counter()
        teacher_seconds = train.teacher.seconds
        result = self._search(train, target)
        while train.converge_endpoints(*_untuned_and_tuned(target, result)):
            tell(f"{where}: searching on, beside endpoints of {train.steps} steps")
            result = self._search(train, target, result)
        seconds = perf_counter() - started - (train.teacher.seconds - teacher_seconds)
        search_cost = self._cost(train.meter.rows - before, seconds)
        tell(f"{where}: scoring")
        runs = _untuned_and_tuned(target, result)
        on_train, on_test = (self._scores(problem, runs) for problem in (train, test))
        by_loss = [on_train, on_test]
        if self._loss is not None:
            by_loss = [self._scores(problem, runs, plain=False) for problem in (train, test)]
        return TunedEntry(
            subject=self.key_of(target),
            setting=self.setting,
            **_fields_of_numbers(result),
            nfe=test.nfe(*runs[1]),
            schedule=result.schedule,
            train=on_train,
            test=on_test,
            gap=by_loss[1].ratio / by_loss[0].ratio - 1,
            teacher=self._cost(train.teacher.evaluations, train.teacher.seconds),
            search=search_cost,
            elsewhere=self._score_on_holdout_model(target, result, tell),
            loss_train=by_loss[0] if self._loss else None,
            loss_test=by_loss[1] if self._loss else None,
        )

    def _search(
        self, train: TuningProblem, target: Target, previous: SearchResult | None = None
    ) -> SearchResult:
        (sampler, steps), objective = target, self.objective
        if self.what == "grid" and not self.also:
            return search_levels(train, sampler, steps, objective, previous)
        return fit_coefficients(train, sampler, steps, objective, self.what, previous, self.also)

    def _score_on_holdout_model(
        self, target: Target, result: SearchResult, tell: Tell
    ) -> HoldOutResult:
        other = self.other.model
        problem = self._problem(self.other, TEST_IDS, tell)
        untuned = make_schedule(result.schedule)(target.steps, other.sigma_min, other.sigma_max)
        grid = carry_grid(result.grid, self.subject.model, other)
        table = move_coefficients(result.table, result.grid, grid)
        carried_over = result._replace(grid=grid, untuned=untuned, table=table)
        return HoldOutResult(
            model=self.other.name,
            identity=other.identity,
            **_fields_of_numbers(carried_over),
            latents=self.test_latents,
            scores=self._scores(problem, _untuned_and_tuned(target, carried_over)),
        )

    def _problem(self, named: NamedModel, first: int, tell: Tell) -> TuningProblem:
        """Return the problem of latents from id ``first`` on, at first with coarse endpoints."""
        if (named.name, first) not in self._problems:
            count = self.latents if first == TRAIN_IDS else self.test_latents
            tell(f"{named.name}: converged endpoints of {count} latents")
            problem = tuning_problem(named.model, first, count, self.seed, self.device)
            self._problems[named.name, first] = problem
        features = self._features if named is self.subject else None
        return replace(self._problems[named.name, first], features=features)

    def _scores(
        self, problem: TuningProblem, runs: Sequence[tuple[Sampler, Grid]], *, plain: bool = True
    ) -> TuningScores:
        """Score the untuned and the tuned sampler, with endpoints fine enough for both.

        Distances are of samples if ``plain`` is True, else of the problem's features.
        """
        problem.converge_endpoints(*runs)
        measured, scores = problem.in_sample_space if plain else problem, []
        for distances in [measured.distances_of(problem.sample(*run)) for run in runs]:
            error = power_mean(distances, OBJECTIVES[self.objective])
            rms = power_mean(distances, OBJECTIVES["rms"])
            scores.append(Score(error=error, rms=rms, median=float(np.median(distances))))
        return TuningScores(untuned=scores[0], tuned=scores[1], resolution=measured.resolution)

    def _cost(self, evaluations: int, seconds: float) -> Cost:
        return Cost(evaluations=evaluations, per_latent=evaluations / self.latents, seconds=seconds)

    def key_of(self, target: Target) -> TunedKey:
        """Return the subject, or key, of a target's entry in the file."""
        model = self.subject.model
        return TunedKey(
            model=self.subject.name,
            identity=model.identity,
            sigma_min=model.sigma_min,
            sigma_max=model.sigma_max,
            sampler=target.label,
            origin=origin_or_digest(target.sampler, target.steps),
            steps=target.steps,
        )

    @property
    def setting(self) -> Setting:
        """Settings of the tuning, part of its entries."""
        return Setting(
            seed=self.seed,
            latents=self.latents,
            test_latents=self.test_latents,
            what=self.what,
            also=self.also,
            objective=self.objective,  # type: ignore[arg-type]
            elsewhere=self.other.model.identity,
            loss=self._loss,
        )


def _untuned_and_tuned(target: Target, result: SearchResult) -> list[tuple[Sampler, Grid]]:
    sampler = target.sampler
    return [(sampler, result.untuned), (result.apply_coefficients(sampler), result.grid)]


def _fields_of_numbers(result: SearchResult) -> dict[str, Any]:
    """Return a result's levels, coefficients and network levels as an entry's fields, or None."""
    table = result.table or ()
    levels = tuple(row.level for row in table if row.level is not None)
    coefficients = tuple((row.a, *row.b) for row in table)
    return {
        "levels": result.grid.sigma,
        "coefficients": coefficients or None,
        "network_levels": levels or None,
    }


@dataclass(frozen=True)
class TuneTask:
    """Task to tune a target on the first of two models and to score it on both."""

    target: Target
    models: tuple[str, str]
    options: tuple[Any, ...]

    def prepare(self, context: WorkerContext) -> None:
        """Load the models."""
        self._tuning(context)

    def __call__(self, context: WorkerContext, tell: Tell) -> TunedEntry:
        """Tune the target, and return its entry of the file."""
        return self._tuning(context)(self.target, tell)

    def _tuning(self, context: WorkerContext) -> ModelTuning:
        def make_tuning() -> ModelTuning:
            subject, other = (NamedModel(name, context.load(name).model) for name in self.models)
            return ModelTuning(subject, other, *self.options, device=context.setting.device)

        return context.once((self.models, self.options), make_tuning)


def tune_targets(
    file: Path,
    tuning: ModelTuning,
    targets: Sequence[Target],
    executor: Executor,
    progress: Callable[[str], None],
) -> tuple[list[TunedEntry], dict[Target, Failure]]:
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
    context = WorkerContext(WorkerConfig.of_this_process({}, tuning.device), models)
    entries, failures = [], {}
    for target in targets:
        stored = _read_entries(file)
        subject, setting = tuning.key_of(target), tuning.setting
        entry = next((e for e in stored if (e.subject, e.setting) == (subject, setting)), None)
        if entry is None:
            task = TuneTask(target, (tuning.subject.name, tuning.other.name), options)
            try:
                entry = executor.run(task, context, tell=progress)
            except Failure as failure:
                failures[target] = failure
                continue
            stored = _read_entries(file)  # another process may have written meanwhile
            write_tuned(file, [*(e for e in stored if e.subject != subject), entry])
        entries.append(entry)
    return entries, failures


def _read_entries(file: Path) -> tuple[TunedEntry, ...]:
    return read_tuned(file) if file.exists() else ()
