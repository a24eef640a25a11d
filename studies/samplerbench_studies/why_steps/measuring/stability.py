"""Measurements of row 7 on the sampler: stiffness of its equation, and failures of big steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from samplerbench.benchmarks.metrics import as_rows
from samplerbench.benchmarks.sampling import latents
from samplerbench.models import Denoiser
from samplerbench.models.exact import ExactModel
from samplerbench.samplers import (
    Grid,
    GridSampler,
    LinearMultistep,
    LinearRow,
    NoNoise,
    Source,
    integrate,
    karras,
    make,
    uniform_lambda,
)

from ..statistics.intervals import Interval
from ..statistics.spread import total_variance, variance_kept
from .effort import Effort
from .generating import exact_model, generate, grid_of, unlabelled

MODELS = {"gmm-64d": 64, "fashion-mppca": 8}
"""Numbers of states at a level, by model; a fast run has an eighth."""
LEVELS = tuple(np.geomspace(0.002, 80, 15).tolist())
COUNTS, FAST_COUNTS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20), (1, 2, 3, 5, 10)
BIG, TRIED = 2, ("fashion-mppca", "gmm-64d", "gmm-2d")
"""Steps of ``heun`` (three evaluations) for big steps on two grids, and the models."""
PATH, FAST_PATH = 64, 24
"""Steps of the paths for comparison with samples."""


class Eigenvalues(NamedTuple):
    """Growth rates of small deviations as log σ falls, the eigenvalues of Cov[x0|x]/σ² - 1.

    Attributes:
        least: smallest eigenvalue of all states, at each of :data:`LEVELS`; below 0 deviations
            vanish.
        largest: mean over states of the largest eigenvalue.
        most: largest eigenvalue of all states.
    """

    least: Sequence[float]
    largest: Sequence[float]
    most: Sequence[float]


class StabilityResult(NamedTuple):
    """Measurements of row 7 on samplers.

    Attributes:
        rates: growth rates by model.
        curvature: speed of the prediction along paths, by model: root mean square change per
            dimension for a factor e of σ, at each of ``levels``, in s.d. of the data.
        levels: levels of ``curvature``.
        counts: numbers of steps.
        spread: variance of samples over the data's, by method and number of steps.
        misses: root mean square distance of samples to the ends of their paths, in s.d. of the
            data.
        big: variance of samples of :data:`BIG` steps of ``heun`` over the data's, by model and
            grid.
    """

    rates: Mapping[str, Eigenvalues]
    curvature: Mapping[str, Sequence[float]]
    levels: Sequence[float]
    counts: Sequence[int]
    spread: Mapping[str, Sequence[Interval]]
    misses: Mapping[str, Sequence[float]]
    big: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True, kw_only=True)
class LogEuler(LinearMultistep):
    """Euler's method with log σ as its variable: x <- x + (log σ' - log σ) (x - d).

    The step to 0 takes the prediction.
    """

    name: ClassVar[str] = "log_euler"
    order: ClassVar[int | None] = 1
    source: ClassVar[Source] = Source(
        "karras2022edm", "Eq. 1, in another variable", "https://arxiv.org/abs/2206.00364v2"
    )

    def plan(self, grid: Grid) -> list[LinearRow]:
        """Return one row per step."""
        rows = []
        for cur, nxt in grid.intervals():
            k = math.log(nxt / cur) if nxt else -1.0
            rows.append(LinearRow(cur, a=1 + k, b=(-k,)))
        return rows

    def nfe(self, grid: Grid) -> int:
        """Return one evaluation per step."""
        return len(grid)


METHODS = {"euler": "euler", "euler in log σ": LogEuler(), "heun": "heun"}


def measure_stability(effort: Effort) -> StabilityResult:
    """Measure growth rates on exact models, and samples with falling numbers of steps."""
    model, n = effort.model("fashion-mppca"), effort.samples(192, 96)
    counts = FAST_COUNTS if effort.fast else COUNTS
    levels = LEVELS[::2] if effort.fast else LEVELS
    exact = {name: exact_model(effort, name) for name in MODELS}
    fine = FAST_PATH if effort.fast else PATH
    truth = as_rows(generate(model, "ipndm", fine, n, labels=unlabelled(model, n)).numpy())
    total = total_variance(model)
    spread, misses = {}, {}
    for name, method in METHODS.items():
        found = [
            as_rows(generate(model, method, grid(model, k), n, labels=unlabelled(model, n)).numpy())
            for k in counts
        ]
        spread[name] = [variance_kept(x, total) for x in found]
        misses[name] = [math.sqrt(float(np.square(x - truth).sum(1).mean()) / total) for x in found]
    moving = {name: prediction_speed(one, min(n, 96), fine) for name, one in exact.items()}
    return StabilityResult(
        {
            name: _spread_out(eigenvalues(one, levels, effort.samples(MODELS[name], 1)), levels)
            for name, one in exact.items()
        },
        {name: speed for name, (_, speed) in moving.items()},
        next(iter(moving.values()))[0],
        counts,
        spread,
        misses,
        {name: big_steps(effort.model(name), n) for name in TRIED},
    )


def big_steps(model: Denoiser, n: int) -> dict[str, Interval]:
    """Return the variance of samples of :data:`BIG` steps of ``heun`` over the data's, by grid."""
    total, labels = total_variance(model), unlabelled(model, n)
    return {
        name: variance_kept(
            as_rows(generate(model, "heun", at(model, BIG), n, labels=labels).numpy()), total
        )
        for name, at in (("uniform in log σ", grid), ("karras", grid_of))
    }


def grid(model: Denoiser, steps: int) -> Grid:
    """Return levels equidistant in log σ, with 0 in place of the last, ``sigma_min``."""
    return Grid(
        (*uniform_lambda(steps, model.sigma_min, model.sigma_max, to_zero=False).sigma[:-1], 0.0)
    )


def eigenvalues(model: ExactModel, levels: Sequence[float], states: int) -> Eigenvalues:
    """Return the eigenvalues of Cov[x0|x]/σ² - 1 at noisy data."""
    x0 = model.sample(states, 7)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(7), dtype=x0.dtype)
    least, largest, most = [], [], []
    for sigma in levels:
        found = [
            torch.linalg.eigvalsh(model.posterior(one[None], sigma)[1][0]) / sigma**2 - 1
            for one in x0 + sigma * noise
        ]
        ends = torch.stack([one[[0, -1]] for one in found])
        least.append(float(ends[:, 0].min()))
        largest.append(float(ends[:, 1].mean()))
        most.append(float(ends[:, 1].max()))
    return Eigenvalues(least, largest, most)


def _spread_out(found: Eigenvalues, levels: Sequence[float]) -> Eigenvalues:
    """Return eigenvalues at all of :data:`LEVELS`, interpolated linearly between measured ones."""
    known = np.log(levels)
    return Eigenvalues(*(np.interp(np.log(LEVELS), known, line).tolist() for line in found))


@torch.no_grad()
def prediction_speed(model: ExactModel, n: int, steps: int) -> tuple[list[float], list[float]]:
    """Return levels, and the root mean square of d D / d log σ there along paths of n samples.

    It is per dimension, in s.d. of the data. Half of it times the squared length of a short step in
    log σ is the step's error.
    """
    levels = karras(steps, model.sigma_min, model.sigma_max, to_zero=False)
    bound = model.bind(torch.arange(n), 0, unlabelled(model, n))
    states = [latents(model, torch.arange(n), 0, model.dtype)[0]]
    solver = make("ipndm")
    assert isinstance(solver, GridSampler)
    integrate(
        solver,
        bound,
        states[0],
        levels,
        NoNoise(),
        on_step=lambda _i, _level, state: states.append(state),
    )
    predicted = [bound(x, s) for x, s in zip(states, levels.sigma, strict=True)]
    total = total_variance(model)
    speed = [
        math.sqrt(float((b - a).flatten(1).square().sum(1).mean()) / total) / math.log(s / t)
        for (a, b), (s, t) in zip(pairwise(predicted), pairwise(levels.sigma), strict=True)
    ]
    return [math.sqrt(s * t) for s, t in pairwise(levels.sigma)], speed
