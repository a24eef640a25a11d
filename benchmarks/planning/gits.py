"""Schedules ``gits`` and ``equal_error``: searches for levels on trajectories of the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.denoiser import Bound, Denoiser
from ...samplers.grid import Grid
from ...samplers.loop import GridSampler, integrate
from ...samplers.noise import NoNoise, SampleNoise
from ...samplers.registry import make
from ...samplers.schedules import karras, schedule
from ...samplers.schedules.optimised import CheapestPathSearch, MinimaxPathSearch, euler_costs
from ...samplers.types import Source
from ..sampling.counting import Meter
from .cache import cached_result, search_key

SEARCH_IDS = 2**30
"""First sample id of the latents for searches, which no scored or converged sample has."""

_VERSION = 1  # raised when the same options would give other costs

Search = Callable[[Denoiser, Path | None, str], CheapestPathSearch]
"""Function (model, cache folder or None, "cpu" or "cuda") that searches levels for the model."""


@schedule(
    Source(
        "chen2024gits",
        "Alg. 1 and section 4",
        "https://arxiv.org/abs/2405.11326v1",
        (
            "A jump costs the Euclidean distance of an Euler step from the teacher's "
            "state; the authors' code prefers deviations.",
            "Trajectories start from latents with fixed numbers, which no scored sample "
            "uses; the authors' code draws random ones.",
            "To 0, the last step goes from sigma_min to 0 and is not searched; nor is an "
            "analytical first step.",
        ),
    ),
    needs_model=True,
)
def gits(
    *,
    teacher: str = "ipndm",
    teacher_steps: int = 64,
    latents: int = 64,
    weight: float = 1.15,
    seed: int = 0,
) -> Search:
    """Levels of a karras grid with the least sum of Euler errors on trajectories of the model.

    Args:
        teacher: spec of the sampler that draws the trajectories: deterministic, with a fixed grid.
        teacher_steps: steps of the teacher to sigma_min, >= 2. A searched grid has at most as many steps to sigma_min.
        latents: number of trajectories, >= 1.
        weight: > 0. In the sum, the mean error of step k = 0, 1, … is multiplied by weight^k. The authors take 1.15.
        seed: seed of the trajectories' noise, >= 0.

    Raises:
        ValueError: an option is out of range, or the teacher is stochastic or has no fixed grid.
    """
    return _searcher(CheapestPathSearch, "gits", teacher, teacher_steps, latents, weight, seed)


@schedule(
    Source(
        "chen2024gits",
        "section 4, cost of a jump",
        "https://arxiv.org/abs/2405.11326v1",
        (
            "The paper minimises the sum of the costs; here the largest is as small as can be, "
            "the classical equidistribution of the local error.",
            "Errors are measured on the teacher's path and not carried on to its end.",
            "To 0, the last step goes from sigma_min to 0 and is not searched.",
        ),
    ),
    needs_model=True,
)
def equal_error(
    *, teacher: str = "ipndm", teacher_steps: int = 64, latents: int = 64, seed: int = 0
) -> Search:
    """Levels of a fine karras grid whose largest Euler error in a step is as small as possible.

    Each Euler step starts on a trajectory of the model. Options, result and exceptions are as in
    :func:`gits`, without ``weight``.
    """
    return _searcher(MinimaxPathSearch, "equal_error", teacher, teacher_steps, latents, 1.0, seed)


def _searcher(
    schedule: type[CheapestPathSearch],
    name: str,
    teacher: str,
    steps: int,
    latents: int,
    weight: float,
    seed: int,
) -> Search:
    """Return the search function of ``gits`` or ``equal_error``, which share a cache of costs.

    Raises a ValueError for an option or a teacher that :func:`gits` does not allow.
    """
    if steps < 2 or latents < 1 or not weight > 0 or seed < 0:
        raise ValueError(
            f"{name} needs teacher_steps >= 2, latents >= 1, weight > 0 and seed >= 0, got {steps}, "
            f"{latents}, {weight} and {seed}"
        )
    solver = make_teacher(name, teacher)

    @torch.no_grad()
    def measure(model: Denoiser, device: str) -> dict[str, Any]:
        grid, states, bound, meter = run_teacher(model, solver, steps, latents, seed, device)
        pairs = zip(states[:-1], grid.sigma, strict=False)
        slopes = [(state - bound(state, level)) / level for state, level in pairs]
        cost = euler_costs(states, slopes, grid.sigma)
        if not np.isfinite(cost).all():
            raise ValueError(
                f"{name}: the trajectories of {teacher} on model "
                f"{model.name} are not finite; choose another teacher"
            )
        return {"levels": list(grid.sigma), "cost": cost.tolist(), "evaluations": meter.rows}

    def search(model: Denoiser, cache: Path | None, device: str) -> CheapestPathSearch:
        key = {"teacher": teacher, "teacher_steps": steps, "latents": latents}
        key |= search_key(model, cache, device, seed, _VERSION)
        found = cached_result(cache, "gits", key, lambda: measure(model, device))
        levels, cost = tuple(found["levels"]), np.array(found["cost"])
        return schedule(levels, cost, weight, found["evaluations"], name)

    return search


def make_teacher(schedule: str, spec: str) -> GridSampler:
    """Return the sampler of a spec, for a search of the named schedule.

    Raises a ValueError unless the sampler is deterministic and has a fixed grid.
    """
    teacher = make(spec)
    if not isinstance(teacher, GridSampler) or teacher.stochastic:
        raise ValueError(
            f"{schedule}: teacher {spec!r} must be a deterministic "
            "sampler on a fixed grid, such as ipndm"
        )
    return teacher


def bind_latents(
    model: Denoiser, count: int, seed: int, device: str
) -> tuple[Bound, Tensor, Meter]:
    """Return denoiser, states ``(count, *event)`` at sigma_max and meter, for unscored latents."""
    ids, meter = torch.arange(SEARCH_IDS, SEARCH_IDS + count, device=device), Meter()
    noise = SampleNoise(seed, ids, model.event, model.dtype)
    x = model.sigma_max * model.place_noise(noise.initial())
    return meter.attach(model).bind(ids, seed), x, meter


def run_teacher(
    model: Denoiser, teacher: GridSampler, steps: int, latents: int, seed: int, device: str
) -> tuple[Grid, list[Tensor], Bound, Meter]:
    """Return a karras grid to sigma_min, the teacher's state at each level, denoiser and meter."""
    grid = karras(steps, model.sigma_min, model.sigma_max, to_zero=False)
    bound, x, meter = bind_latents(model, latents, seed, device)
    states = [x]
    integrate(teacher, bound, x, grid, NoNoise(), on_step=lambda _i, _s, y: states.append(y))
    return grid, states, bound, meter
