"""Tunes samplers on a model, entry by entry, each written as soon as it is found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from .... import samplers
from ....models import Denoiser
from ....samplers import Grid, Sampler
from ...planning.remedy import Named
from ...planning.schedules import make_schedule
from ...planning.tuned.entry import Cost, Elsewhere, Score, Scores, Setting, Subject, Tuned, gap_of
from ...planning.tuned.file import check_writable, read_tuned, write_tuned
from .problem import MOST, TEST_IDS, TRAIN_IDS, TuningProblem, tuning_problem
from .search import OBJECTIVES, Found, mean_of, search
from .task import Task


@dataclass
class Tuner:
    """Tunes into a file.

    Attributes:
        file: of entries; what it holds of the same subject and setting is not tuned again, and of
            another setting is replaced.
        subject: the model to tune on.
        other: the model to score on too.
        latents, test_latents: how many to tune on, and to measure the gap on, each at least 2.
        seed: of all latents.
        objective: of :data:`.search.OBJECTIVES`.
        device: "cpu" or "cuda", where the models are.
        progress: told what is being done.
    """

    file: Path
    subject: Named
    other: Named
    latents: int = 256
    test_latents: int = 256
    seed: int = 0
    objective: str = "mean"
    device: str = "cpu"
    progress: Callable[[str], object] = print
    _posed: dict[tuple[str, int], TuningProblem] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for option, count in (("--latents", self.latents), ("--test-latents", self.test_latents)):
            if not 2 <= count <= MOST:
                raise ValueError(f"{option} {count}: give between 2 and {MOST} latents")
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"--objective {self.objective!r}: choose one of {', '.join(OBJECTIVES)}"
            )
        if self.other.model.identity == self.subject.model.identity:
            raise ValueError(
                f"--holdout-model {self.other.name} is the model that is tuned on; give another one"
            )

    def __call__(self, tasks: Sequence[Task]) -> list[Tuned]:
        """The entries of the tasks (:func:`.task.tasks_of`), from the file or tuned now.

        Raises:
            ValueError: the file is something else, or cannot be written.
        """
        check_writable(self.file)
        found = []
        for task in tasks:
            known = self._known()
            subject, setting = self._subject(task), self._setting
            entry = next((e for e in known if (e.subject, e.setting) == (subject, setting)), None)
            if entry is None:
                entry = self._tune(task)
                known = self._known()  # another process may have written meanwhile
                write_tuned(self.file, [*(e for e in known if e.subject != subject), entry])
            found.append(entry)
        return found

    def _tune(self, task: Task) -> Tuned:
        where = f"{self.subject.name}: {task.label}, {task.steps} steps"
        train, test = (self._problem(self.subject, first) for first in (TRAIN_IDS, TEST_IDS))
        self.progress(f"{where}: searching")
        before, taught, started = train.meter.rows, train.teacher.seconds, perf_counter()
        found = search(train, task.sampler, task.steps, self.objective)
        while train.settle(task.sampler, found.untuned, found.grid):
            self.progress(f"{where}: searching on, beside endpoints of {train.steps} steps")
            found = search(train, task.sampler, task.steps, self.objective, found.grid)
        seconds = perf_counter() - started - (train.teacher.seconds - taught)
        search_cost = self._cost(train.meter.rows - before, seconds)
        self.progress(f"{where}: scoring")
        scores = [
            self._scores(problem, task.sampler, found.untuned, found.grid)
            for problem in (train, test)
        ]
        return Tuned(
            subject=self._subject(task),
            setting=self._setting,
            levels=found.grid.sigma,
            nfe=test.nfe(task.sampler, found.grid),
            schedule=found.schedule,
            train=scores[0],
            test=scores[1],
            gap=gap_of(*scores),
            teacher=self._cost(train.teacher.evaluations, train.teacher.seconds),
            search=search_cost,
            elsewhere=self._elsewhere(task, found),
        )

    def _elsewhere(self, task: Task, found: Found) -> Elsewhere:
        """The score on the other model, on latents that were not tuned on there either."""
        other = self.other.model
        problem = self._problem(self.other, TEST_IDS)
        untuned = make_schedule(found.schedule)(task.steps, other.sigma_min, other.sigma_max)
        grid = carried(found.grid, self.subject.model, other)
        scores = self._scores(problem, task.sampler, untuned, grid)
        return Elsewhere(
            model=self.other.name,
            identity=other.identity,
            levels=grid.sigma,
            latents=self.test_latents,
            scores=scores,
        )

    def _problem(self, named: Named, first: int) -> TuningProblem:
        """Latents of a model with their teacher, made once.

        Each entry begins with its coarsest endpoints, whatever came before.
        """
        if (named.name, first) not in self._posed:
            count = self.latents if first == TRAIN_IDS else self.test_latents
            self.progress(f"{named.name}: converged endpoints of {count} latents")
            self._posed[named.name, first] = tuning_problem(
                named.model, first, count, self.seed, self.device
            )
        return replace(self._posed[named.name, first])

    def _scores(
        self, problem: TuningProblem, sampler: Sampler, untuned: Grid, tuned: Grid
    ) -> Scores:
        """Both grids on the latents of a problem, beside endpoints that are fine enough for the
        better one.
        """
        problem.settle(sampler, untuned, tuned)
        before, after = (self._score(problem.distances(sampler, grid)) for grid in (untuned, tuned))
        return Scores(untuned=before, tuned=after, resolution=problem.resolution)

    def _score(self, distances: NDArray[np.float64]) -> Score:
        error = mean_of(distances, OBJECTIVES[self.objective])
        return Score(
            error=error,
            rms=mean_of(distances, OBJECTIVES["rms"]),
            median=float(np.median(distances)),
        )

    def _cost(self, evaluations: int, seconds: float) -> Cost:
        return Cost(evaluations=evaluations, per_latent=evaluations / self.latents, seconds=seconds)

    def _known(self) -> tuple[Tuned, ...]:
        return read_tuned(self.file) if self.file.exists() else ()

    def _subject(self, task: Task) -> Subject:
        model = self.subject.model
        return Subject(
            model=self.subject.name,
            identity=model.identity,
            sigma_min=model.sigma_min,
            sigma_max=model.sigma_max,
            sampler=task.label,
            origin=samplers.origin(task.sampler.name),
            steps=task.steps,
        )

    @property
    def _setting(self) -> Setting:
        return Setting(
            seed=self.seed,
            latents=self.latents,
            test_latents=self.test_latents,
            objective=self.objective,  # type: ignore[arg-type]
            elsewhere=self.other.model.identity,
        )


def carried(grid: Grid, here: Denoiser, there: Denoiser) -> Grid:
    """The grid at the same relative positions in log sigma between sigma_max and sigma_min of
    another model.
    """
    share = math.log(there.sigma_max / there.sigma_min) / math.log(here.sigma_max / here.sigma_min)
    return Grid(
        (*(there.sigma_max * (sigma / here.sigma_max) ** share for sigma in grid.sigma[:-1]), 0.0)
    )
