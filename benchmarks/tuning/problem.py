"""Latents that no run scores, their converged endpoints, and how far from these a sampler ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models import Denoiser
from ...samplers import Grid, NoNoise
from ..batch import latents
from ..doubling import converged
from ..gits import SEARCH_IDS
from ..meter import Meter
from ..truth import ODE, solve

MOST = 2**28
"""Latents of a set, at most."""

TRAIN_IDS = SEARCH_IDS + MOST
"""Sample numbers from here on are tuned on: they lie between those of schedule searches and those of converged samples."""

TEST_IDS = TRAIN_IDS + MOST
"""Sample numbers from here on measure the gap between latents that were tuned on and others."""

BATCH = 96
LOST = 1e6
"""The distance of a sample that is not finite, or further away."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Latents of a model with their converged endpoints.

    Attributes:
        model: counted by ``meter``.
        meter: counts evaluations from here on.
        ids: ``(n,)`` the latents' numbers, on the model's device.
        seed: of the latents.
        endpoints: ``(n, *event)``.
        teacher: evaluations that the endpoints took, all latents together; 0 for a closed form.
        seconds: that they took.
        resolution: how far off they may be (RMS); 0 where they are exact.
    """

    model: Denoiser
    meter: Meter
    ids: Tensor
    seed: int
    endpoints: Tensor
    teacher: int = 0
    seconds: float = 0.0
    resolution: float = 0.0

    def distances(self, sampler: Any, grid: Grid) -> NDArray[np.float64]:
        """``(n,)`` distances e_i = |x_i - endpoint_i| / sqrt(d), in data units, at most :data:`LOST`."""
        squares = (self.sample(sampler, grid) - self.endpoints).double().square().flatten(1).mean(1)
        return np.minimum(squares.sqrt().nan_to_num(nan=LOST).cpu().numpy(), LOST)

    @torch.no_grad()
    def sample(self, sampler: Any, grid: Grid) -> Tensor:
        """What the sampler makes of the latents."""
        return torch.cat([self._sample(sampler, grid, ids) for ids in self.ids.split(BATCH)])

    def nfe(self, sampler: Any, grid: Grid) -> int:
        """Evaluations per sample, counted."""
        before = self.meter.rows
        self.sample(sampler, grid)
        return round((self.meter.rows - before) / len(self.ids))

    def _sample(self, sampler: Any, grid: Grid, ids: Tensor) -> Tensor:
        x = latents(self.model, ids, self.seed, self.model.dtype)[0]
        return sampler.sample(self.model.bind(ids, self.seed), x, grid, NoNoise())


def pose(model: Denoiser, first: int, count: int, seed: int, rivals: Sequence[tuple[Any, Grid]], device: str = "cpu") -> Problem:
    """The problem of ``count`` latents from number ``first`` on.

    Args:
        model: on ``device``.
        first: such as :data:`TRAIN_IDS`.
        count: at most :data:`MOST`.
        seed: of the latents.
        rivals: samplers on grids; where only a solver can tell the endpoints, they are exact beside the distances of these
            (:data:`.truth.ODE`).
        device: "cpu" or "cuda".
    """
    meter, started = Meter(), perf_counter()
    counted, ids = meter.attach(model), torch.arange(first, first + count, device=device)
    problem = Problem(counted, meter, ids, seed, torch.empty(0))
    x = latents(model, ids, seed, model.dtype)[0]
    with torch.no_grad():
        exact = counted.endpoint(x, counted.draw_labels(ids, seed))
    endpoints, resolution = (exact, 0.0) if exact is not None else _solved(problem, rivals)
    return replace(problem, endpoints=endpoints, teacher=meter.rows, seconds=perf_counter() - started, resolution=resolution)


def _solved(problem: Problem, rivals: Sequence[tuple[Any, Grid]]) -> tuple[Tensor, float]:
    """Endpoints by the reference solver, and how far off they may be."""
    model = problem.model

    @torch.no_grad()
    def solution(steps: int) -> NDArray:
        return solve(model, problem.ids, problem.seed, model.dtype, steps, BATCH).cpu().numpy()

    measured = [problem.sample(sampler, grid).cpu().numpy() for sampler, grid in rivals]
    found = converged(solution, measured, ODE, ODE.first)
    return torch.from_numpy(found.x).to(problem.ids.device), found.resolution
