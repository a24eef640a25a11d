"""Frontier run: screens all configurations, chooses the best of each side, and scores them.

A side is this library, the peers or ``auto``. The latents for scoring are not used for choosing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samplerbench.benchmarks.advice import Race, is_hopeful
from samplerbench.benchmarks.running.executors import (
    Executor,
    Failure,
    InProcess,
    WorkerConfig,
    WorkerContext,
)
from samplerbench.benchmarks.suites import file_name
from samplerbench.models import Denoiser
from samplerbench.models.exact import ExactModel
from samplerbench.results.run_directory import read_npz, write_npz
from samplerbench.samplers import SampleNoise

from .candidates import Candidate
from .measure import End, Errors, ExactProblem, SampleTask, largest_grid_within
from .problems import HOME
from .table import CRITERIA, winner_row

BUDGETS = (5, 8, 10, 15, 20, 30)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class KeepBest:
    """Racing rule that keeps the best ``count`` configurations."""

    count: int

    def __call__(self, ranked: Sequence[int], values: Mapping[int, Any], look: int) -> set[int]:  # noqa: ARG002
        """Return the first ``count`` of the configurations ``ranked`` best first."""
        return set(ranked[: self.count])


@dataclass(frozen=True)
class ErrorSummary:
    """Median and RMS error of a candidate on the first ``samples`` latents.

    Attributes:
        samples: number of latents.
        median, rms: errors of the candidate.
    """

    samples: int
    median: float
    rms: float

    def __len__(self) -> int:
        return self.samples


@dataclass
class Frontier:
    """Resumable frontier run, which writes every measurement immediately.

    Attributes:
        out: run directory.
        models: exact models, by spec.
        ends: ends of the grids, "zero" or "sigma_min".
        budgets: evaluations per sample.
        samples: number of latents; the first half is for choosing, the second for scoring.
        screen: number of latents of the first half on which all configurations are tried.
        finalists: number of configurations of each side and criterion that are tried on the whole
            first half.
        seed: seed of the latents.
        executor: executor of the tasks, one per configuration.
        progress: callback with a description of the current work.
        known: measured median and RMS errors by key, as in the log.
    """

    out: Path
    models: Sequence[str] = HOME
    ends: Sequence[End] = ("zero",)
    budgets: Sequence[int] = BUDGETS
    samples: int = 2000
    screen: int = 96
    finalists: int = 8
    seed: int = 0
    executor: Executor = field(default_factory=InProcess)
    progress: Progress = print
    known: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 2 <= 2 * self.screen <= self.samples:
            raise ValueError(
                f"the frontier screens on {self.screen} of the first half of "
                f"{self.samples} samples; give more samples"
            )
        self._context = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))

    def __call__(self, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
        """Return the table's rows, one for each model, end, budget, criterion and side.

        A row has the winner, its errors, and the comparison with the best of this library.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        self._recall()
        return [
            line
            for name, end in product(self.models, self.ends)
            for line in self._model(name, end, candidates)
        ]

    def _model(
        self, name: str, end: End, candidates: Sequence[Candidate]
    ) -> Iterable[dict[str, Any]]:
        model = self._context.load(name).model
        problem = ExactProblem(name, model, self.seed, end, self._endpoints(name, model, end))
        sides = {
            side: [c for c in candidates if c.side == side]
            for side in dict.fromkeys(c.side for c in candidates)
        }
        for budget in self.budgets:
            self.progress(f"{name}, to {end}: {budget} evaluations")
            chosen = self._chosen(problem, budget, sides)
            scored = self._scored(problem, budget, list(chosen.values()))
            winners = {
                key: (best, scored[best.label])
                for key, best in chosen.items()
                if best.label in scored
            }
            for (side, criterion), (candidate, errors) in winners.items():
                own = [
                    found
                    for (s, which), found in winners.items()
                    if which == criterion and s != "peers"
                ]
                best = min(
                    own,
                    key=lambda found: self._error_on_first_half(
                        problem, found[0], budget, criterion
                    ),
                    default=(None, None),
                )[1]
                grid = largest_grid_within(candidate, budget, model, end)
                nfe = candidate.sampler.nfe(grid)
                yield winner_row(name, end, budget, side, criterion, candidate, nfe, errors, best)

    def _chosen(
        self, problem: ExactProblem, budget: int, sides: Mapping[str, Sequence[Candidate]]
    ) -> dict[tuple[str, str], Candidate]:
        """Return the best candidate on the first half of the latents, by side and criterion."""
        some = [c for mine in sides.values() for c in self._hopeful(problem, mine, budget)]
        fields = {side: [n for n, c in enumerate(some) if c.side == side] for side in sides}
        chosen = {}
        for criterion in CRITERIA:
            race = Race(
                fields,
                (self.screen, self.samples // 2),
                partial(self._measured, problem, budget, some),
                keep=KeepBest(self.finalists),
                score=attrgetter(criterion),
                join=lambda _, more: more,
                to_the_end=True,
            )
            race()
            chosen |= {
                (side, criterion): some[race.survivors(side)[0]]
                for side in fields
                if race.survivors(side)
            }
        return chosen

    def _measured(
        self,
        problem: ExactProblem,
        budget: int,
        candidates: Sequence[Candidate],
        numbers: Sequence[int],
        start: int,  # noqa: ARG002 - each measurement is of all latents up to ``stop``
        stop: int,
    ) -> Iterator[tuple[int, ErrorSummary | None]]:
        """Yield number and errors of each candidate on the first ``stop`` latents."""
        self._measure(problem, budget, [candidates[n] for n in numbers], stop)
        for n in numbers:
            found = self.known.get(self._key(problem, candidates[n], budget, stop))
            if found is not None:
                whole = all(map(np.isfinite, found))
                yield n, ErrorSummary(stop, *found) if whole else None

    def _error_on_first_half(
        self, problem: ExactProblem, candidate: Candidate, budget: int, criterion: str
    ) -> float:
        """Return the error on the whole first half of the latents."""
        return self._error(problem, candidate, budget, self.samples // 2, criterion)

    def _error(
        self, problem: ExactProblem, candidate: Candidate, budget: int, samples: int, criterion: str
    ) -> float:
        """Return the measured error; infinite without a measurement."""
        found = self.known.get(self._key(problem, candidate, budget, samples))
        return found[CRITERIA.index(criterion)] if found else np.inf

    def _hopeful(
        self, problem: ExactProblem, candidates: Sequence[Candidate], budget: int
    ) -> list[Candidate]:
        """Return the configurations of a side that were not far behind at smaller budgets."""
        before = [b for b in sorted(self.budgets) if b < budget]
        found = [
            [self._error(problem, c, b, self.screen, CRITERIA[0]) for b in before]
            for c in candidates
        ]
        best = [min(errors) for errors in zip(*found, strict=True)]
        return [c for c, errors in zip(candidates, found, strict=True) if is_hopeful(errors, best)]

    def _key(self, problem: ExactProblem, candidate: Candidate, budget: int, samples: int) -> str:
        which = [problem.name, problem.end, candidate.side, candidate.label]
        return json.dumps([*which, budget, samples])

    def _measure(
        self, problem: ExactProblem, budget: int, candidates: Iterable[Candidate], samples: int
    ) -> None:
        """Measure and log median and RMS error on the first ``samples`` latents.

        Errors are infinite if a configuration does not run. If its task failed, nothing is logged,
        so that another run tries it again.
        """
        asked = {self._key(problem, c, budget, samples): c for c in candidates}
        keys = [key for key in asked if key not in self.known]
        for which, x in self._sampled(problem, budget, [asked[key] for key in keys], 0, samples):
            errors = None if x is None else problem.errors(x, 0)
            self.known[keys[which]] = [errors.median, errors.rms] if errors else [np.inf, np.inf]
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps([keys[which], self.known[keys[which]]]) + "\n")

    def _scored(
        self, problem: ExactProblem, budget: int, winners: Sequence[Candidate]
    ) -> dict[str, Errors]:
        """Return errors on the second half of the latents, by label, of the winners that ran
        there.
        """
        half = self.samples // 2
        paths = {w.label: self._path(problem, w, budget) for w in winners}
        stored = {label: read_npz(path) for label, path in paths.items()}
        found = {label: Errors(**arrays) for label, arrays in stored.items() if arrays is not None}
        todo = list({w.label: w for w in winners if w.label not in found}.values())
        for which, x in self._sampled(problem, budget, todo, half, self.samples):
            if x is None:
                continue
            errors, label = problem.errors(x, half), todo[which].label
            write_npz(paths[label], {"distance": errors.distance, "flipped": errors.flipped})
            found[label] = errors
        return found

    def _sampled(
        self,
        problem: ExactProblem,
        budget: int,
        candidates: Sequence[Candidate],
        start: int,
        stop: int,
    ) -> Iterator[tuple[int, torch.Tensor | None]]:
        """Yield number and samples of each configuration when ready; None if it does not run."""
        tasks = [
            SampleTask(problem.name, self.seed, c, budget, problem.end, start, stop)
            for c in candidates
        ]
        for which, x in self.executor.map(tasks, self._context):
            if isinstance(x, Failure):
                label = candidates[which].label
                self.progress(f"{problem.name}: {label}: {x.status}, {x.reason}")
            else:
                yield which, None if x is None else torch.from_numpy(x)

    def _path(self, problem: ExactProblem, winner: Candidate, budget: int) -> Path:
        what = [problem.name, problem.end, winner.label, budget, self.samples, self.seed]
        name = file_name(f"{problem.name}-{problem.end}-{budget}", _short_digest(what))
        return self.out / "scored" / f"{name}.npz"

    @property
    def _log(self) -> Path:
        return self.out / f"measured-{self.seed}.jsonl"

    def _recall(self) -> None:
        """Read the measurements of earlier runs into the directory.

        A line truncated by a kill is ignored, so it is measured again.
        """
        for line in (
            self._log.read_text(encoding="utf-8").splitlines() if self._log.is_file() else []
        ):
            try:
                key, values = json.loads(line)
            except ValueError:
                continue
            self.known[key] = values

    def _endpoints(self, name: str, model: Denoiser, end: End) -> torch.Tensor:
        """Return the exact endpoints, from the run directory if stored there.

        Raises:
            ValueError: the model is not exact.
        """
        what = [name, model.identity, self.seed, self.samples]
        path = self.out / f"{file_name(f'ends-{name}', _short_digest(what))}.npz"
        stored = read_npz(path)
        if stored is None:
            self.progress(f"{name}: exact endpoints")
            if not isinstance(model, ExactModel):
                raise ValueError(
                    f"model {name} has no exact probability flow; the frontier "
                    f"needs an exact model, such as {', '.join(HOME)}"
                )
            ids = torch.arange(self.samples)
            latents = (
                model.sigma_max * SampleNoise(self.seed, ids, model.event, model.dtype).initial()
            )
            bound = model.bind(ids, self.seed)
            state = model.flow(latents, model.sigma_max, model.sigma_min, bound.labels)
            stored = {
                "sigma_min": state.numpy(),
                "zero": bound(state, model.sigma_min).numpy(),
            }
            write_npz(path, stored)
        return torch.from_numpy(stored[end])


def _short_digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:10]
