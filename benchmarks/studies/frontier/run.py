"""Screens all configurations, chooses the best of each side for each budget, and scores them on
latents that chose nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....models import Denoiser, make_model
from ....results.run_directory.files import read_npz, write_npz
from ....samplers import SampleNoise
from .candidates import Candidate
from .measure import Errors, ExactProblem
from .table import CRITERIA, row

MODELS = ("gmm-2d", "gmm-64d", "fashion-mppca", "wavelet")
BUDGETS = (5, 8, 10, 15, 20, 30)
HOPELESS = 4.0
"""How far behind the best of its side, at two budgets in a row, a configuration is left out at
larger ones.
"""
Progress = Callable[[str], None]


@dataclass
class Frontier:
    """One run, resumable: every measurement is written when it is made.

    Attributes:
        out: run directory.
        models: exact models.
        budgets: evaluations per sample.
        samples: latents; the first half chooses, the second scores.
        screen: latents of the first half on which all configurations are tried.
        finalists: how many of each side, for each criterion, are tried on the whole first half.
        seed: of the latents.
    """

    out: Path
    models: Sequence[str] = MODELS
    budgets: Sequence[int] = BUDGETS
    samples: int = 2000
    screen: int = 96
    finalists: int = 8
    seed: int = 0
    progress: Progress = print
    known: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 2 <= 2 * self.screen <= self.samples:
            raise ValueError(
                f"the frontier screens on {self.screen} of the first half of "
                f"{self.samples} samples; give more samples"
            )

    def __call__(self, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
        """Rows of the table: model, budget, criterion, side, the winner, its errors, and how
        they compare with the best of this library.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        self._recall()
        return [line for name in self.models for line in self._model(name, candidates)]

    def _model(self, name: str, candidates: Sequence[Candidate]) -> Iterable[dict[str, Any]]:
        model = make_model(name)
        problem = ExactProblem(model, self.seed, self._endpoints(name, model))
        for budget in self.budgets:
            self.progress(f"{name}: {budget} evaluations")
            winners: dict[tuple[str, str], tuple[Candidate, Errors]] = {}
            for side in dict.fromkeys(c.side for c in candidates):
                mine = [c for c in candidates if c.side == side]
                for criterion in CRITERIA:
                    best = self._choose(name, problem, budget, mine, criterion)
                    if best is not None:
                        winners[side, criterion] = best, self._score(name, problem, best, budget)
            for (side, criterion), (candidate, errors) in winners.items():
                own = [
                    found
                    for (s, which), found in winners.items()
                    if which == criterion and s != "peers"
                ]
                best = (
                    min(
                        own,
                        key=lambda found: self._half(name, problem, found[0], budget, criterion),
                    )[1]
                    if own
                    else None
                )
                yield row(
                    name,
                    budget,
                    side,
                    criterion,
                    candidate,
                    candidate.sampler.nfe(problem.grid(candidate, budget)),
                    errors,
                    best,
                )

    def _choose(
        self,
        name: str,
        problem: ExactProblem,
        budget: int,
        candidates: Sequence[Candidate],
        criterion: str,
    ) -> Candidate | None:
        """The best on the first half, among those that lead on its first samples."""
        index = CRITERIA.index(criterion)
        hopeful = self._hopeful(name, candidates, budget)
        screened = [
            (self._measure(name, problem, candidates[i], budget, self.screen)[index], i)
            for i in hopeful
        ]
        leading = [
            candidates[i] for error, i in sorted(screened)[: self.finalists] if np.isfinite(error)
        ]
        return min(
            leading, key=lambda c: self._half(name, problem, c, budget, criterion), default=None
        )

    def _half(
        self, name: str, problem: ExactProblem, candidate: Candidate, budget: int, criterion: str
    ) -> float:
        """The error on the whole first half."""
        return self._measure(name, problem, candidate, budget, self.samples // 2)[
            CRITERIA.index(criterion)
        ]

    def _hopeful(self, name: str, candidates: Sequence[Candidate], budget: int) -> list[int]:
        """Which configurations are tried: those that were not far behind the best of their side
        at both budgets before this one.
        """
        before = sorted(b for b in self.budgets if b < budget)[-2:]
        if len(before) < 2:
            return list(range(len(candidates)))
        found = {b: [self._screened(name, c, b) for c in candidates] for b in before}
        return [
            i
            for i in range(len(candidates))
            if any(found[b][i] <= HOPELESS * min(found[b]) for b in before)
        ]

    def _screened(self, name: str, candidate: Candidate, budget: int) -> float:
        """The median that screening found; infinite if it was not tried."""
        return self.known.get(self._key(name, candidate, budget, self.screen), [np.inf])[0]

    def _key(self, name: str, candidate: Candidate, budget: int, samples: int) -> str:
        return json.dumps([name, candidate.side, candidate.label, budget, samples])

    def _measure(
        self, name: str, problem: ExactProblem, candidate: Candidate, budget: int, samples: int
    ) -> list[float]:
        """[median, rms] on the first ``samples`` latents.

        Infinite if the configuration does not run.
        """
        key = self._key(name, candidate, budget, samples)
        if key not in self.known:
            errors = problem.errors(candidate, budget, 0, samples)
            self.known[key] = [errors.median, errors.rms] if errors else [np.inf, np.inf]
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps([key, self.known[key]]) + "\n")
        return self.known[key]

    def _score(self, name: str, problem: ExactProblem, winner: Candidate, budget: int) -> Errors:
        """Errors on the second half."""
        digest = hashlib.sha256(
            json.dumps([name, winner.label, budget, self.samples, self.seed]).encode()
        ).hexdigest()[:10]
        path = self.out / "scored" / f"{name}-{budget}-{digest}.npz"
        stored = read_npz(path)
        if stored is None:
            errors = problem.errors(winner, budget, self.samples // 2, self.samples)
            assert errors is not None  # it ran on the first half
            stored = {"distance": errors.distance, "flipped": errors.flipped}
            write_npz(path, stored)
        return Errors(**stored)

    @property
    def _log(self) -> Path:
        return self.out / f"measured-{self.seed}.jsonl"

    def _recall(self) -> None:
        """What earlier runs into the directory measured.

        A line that a kill cut short is measured again.
        """
        for line in (
            self._log.read_text(encoding="utf-8").splitlines() if self._log.is_file() else []
        ):
            try:
                key, values = json.loads(line)
            except ValueError:
                continue
            self.known[key] = values

    def _endpoints(self, name: str, model: Denoiser) -> torch.Tensor:
        """Exact endpoints, from the run directory if they are there.

        Raises:
            ValueError: the model has none.
        """
        path = self.out / f"endpoints-{name}-{self.seed}-{self.samples}.npz"
        stored = read_npz(path)
        if stored is None:
            self.progress(f"{name}: exact endpoints")
            ids = torch.arange(self.samples)
            latents = (
                model.sigma_max * SampleNoise(self.seed, ids, model.event, model.dtype).initial()
            )
            x = model.endpoint(latents, model.bind(ids, self.seed).labels)
            if x is None:
                raise ValueError(
                    f"model {name} has no exact endpoints; the frontier "
                    f"needs an exact model, such as {', '.join(MODELS)}"
                )
            stored = {"x": x.numpy()}
            write_npz(path, stored)
        return torch.from_numpy(stored["x"])
