"""Schedule ``oss``: levels that lead a solver's own states closest to a teacher's trajectory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ...samplers import Denoise, Grid, GridSampler, Source, karras, make
from ...samplers.families.linear import LinearRow, compute_history_entry
from ...samplers.families.tabulated import why_not_tabulable
from ...samplers.numerics import as_column, level_tensor
from ...samplers.schedules import schedule
from ...samplers.schedules.optimised import FineGridSearch
from .cache import cached_result, search_key
from .gits import make_teacher, run_teacher

_VERSION = 1  # raised when the same options would give other levels
_TRIAL_STEPS = 8

RowOf = Callable[[tuple[float, ...], float], LinearRow]
"""Function (levels of the evaluations so far, next level) that returns the step's coefficients."""


@dataclass(frozen=True, eq=False)
class OptimalSteps(FineGridSearch):
    """Schedule found on one model: a path through a fine grid for each number of steps.

    Attributes:
        paths: entry n - 1 is the path of n steps, as the indices of its n + 1 levels.
        evaluations: network evaluations of the search, all latents together.
    """

    levels: tuple[float, ...]
    paths: tuple[tuple[int, ...], ...]
    evaluations: int
    name: str = field(default="oss", init=False)
    size: str = field(default="steps", init=False)

    @property
    def max_steps(self) -> int:
        """Largest number of steps from sigma_max to sigma_min."""
        return len(self.paths)

    def path(self, jumps: int) -> tuple[int, ...]:
        """Return the indices of the fine levels of the path of ``jumps`` steps."""
        return self.paths[jumps - 1]


@schedule(
    Source(
        "pei2025oss",
        "the authors' OSS/OSS.py, search_OSS",
        "https://arxiv.org/abs/2503.21774v1",
        (
            "A path of n steps has n different steps from sigma_max. In the authors' code it may "
            "have fewer, and may begin below the level of its noise.",
            "The teacher is ipndm on a karras grid by default; the authors' is Euler at even times.",
            "The solver may be any linear multistep method; the authors' is Euler.",
            "For an odd number of latents the median is the middle one.",
            "To 0, the last step goes from sigma_min to 0 and is not searched.",
        ),
    ),
    needs_model=True,
)
def oss(
    *,
    solver: str = "euler",
    steps: int = 20,
    teacher: str = "ipndm",
    teacher_steps: int = 64,
    latents: int = 16,
    seed: int = 0,
) -> Callable[[Denoiser, Path | None, str], OptimalSteps]:
    """Levels of a fine karras grid whose steps bring a solver closest to a teacher's trajectory.

    After step k, each level keeps the solver's state that is closest to the teacher's state at this level.
    It also keeps the path to its state. Step k + 1 starts from the states kept after step k. Each latent
    has its own path to sigma_min. For each step, the median of the level's index over latents is taken.

    Args:
        solver: spec of a deterministic linear method with one evaluation a step, such as dpmpp_2m.
        steps: largest number of steps to sigma_min, 1 … ``teacher_steps``. One search finds paths for all
            numbers up to ``steps``, with at most ``steps`` evaluations for each fine step and latent.
        teacher: spec of the sampler that draws the trajectories: deterministic, with a fixed grid.
        teacher_steps: steps of the teacher from sigma_max to sigma_min, >= 2.
        latents: number of trajectories, >= 1.
        seed: seed of the trajectories' noise, >= 0.

    Raises:
        ValueError: an option is out of range, the teacher is stochastic or has no fixed grid, or
            :func:`why_not_searchable` refuses the solver.
    """
    if teacher_steps < 2 or not 1 <= steps <= teacher_steps or latents < 1 or seed < 0:
        raise ValueError(
            "oss needs teacher_steps >= 2, steps from 1 to teacher_steps, latents >= 1 and "
            f"seed >= 0, got {teacher_steps}, {steps}, {latents} and {seed}"
        )
    guide, student = make_teacher("oss", teacher), make(solver)
    if reason := why_not_searchable(student):
        raise ValueError(f"oss: solver {solver!r} {reason}; take another, such as dpmpp_2m")
    assert isinstance(student, GridSampler)

    @torch.no_grad()
    def measure(model: Denoiser, device: str) -> dict[str, Any]:
        grid, states, bound, meter = run_teacher(model, guide, teacher_steps, latents, seed, device)
        targets = torch.stack(states, 1)
        if not targets.isfinite().all():
            raise ValueError(
                f"oss: the trajectories of {guide.name} on model {model.name} are not finite; "
                "choose another teacher"
            )
        row_of = coefficients_by_step(student, grid.sigma[-1])
        rows = torch.arange(latents, device=device).split(1)
        copies = (bound.take(row.expand(teacher_steps)) for row in rows)
        paths_of_latents = [
            best_paths(same, own, grid.sigma, student, row_of, steps)
            for same, own in zip(copies, targets, strict=True)
        ]
        paths = [median_path([own[k].path for own in paths_of_latents]) for k in range(steps)]
        return {"levels": list(grid.sigma), "paths": paths, "evaluations": meter.rows}

    def search(model: Denoiser, cache: Path | None, device: str) -> OptimalSteps:
        key = {
            "solver": solver,
            "steps": steps,
            "teacher": teacher,
            "teacher_steps": teacher_steps,
            "latents": latents,
        }
        key |= search_key(model, cache, device, seed, _VERSION)
        found = cached_result(cache, "oss", key, lambda: measure(model, device))
        paths = tuple(map(tuple, found["paths"]))
        return OptimalSteps(tuple(found["levels"]), paths, found["evaluations"])

    return search


def why_not_searchable(solver: Any) -> str:
    """Return the reason why :func:`oss` cannot search levels for a solver; "" if it can."""
    grid = karras(_TRIAL_STEPS, 0.01, 10.0)
    if reason := why_not_tabulable(solver, grid):
        return reason
    rows = solver.plan(grid)
    pairs = zip(rows, grid.sigma, strict=False)
    if any(row.gain is not None or row.sigma != level for row, level in pairs):
        return "does not evaluate the network at the level of each step"
    row_of = coefficients_by_step(solver, grid.sigma[-2])
    early = range(_TRIAL_STEPS - 3)  # the last steps may have lower orders
    if any(rows[i] != row_of(grid.sigma[: i + 1], grid.sigma[i + 1]) for i in early):
        return "has coefficients that depend on the number of the step"
    return ""


def coefficients_by_step(solver: GridSampler, last: float) -> RowOf:
    """Return the function that gives a step's coefficients, from the levels so far and the next.

    Some solvers lower the order of their last steps. So each path is planned with further steps to
    ``last``, the end of the fine grid, and to 0.
    """

    @cache
    def row_of(recent: tuple[float, ...], nxt: float) -> LinearRow:
        rest = (0.0,) if nxt == last else (last, 0.0)
        return solver.plan(Grid((*recent, nxt, *rest)))[len(recent) - 1]

    # levels of older evaluations do not count
    return lambda path, nxt: row_of(path[-(solver.history + 1) :], nxt)


class StudentPath(NamedTuple):
    """Best path of a solver to one level, as the indices of its levels in the fine grid.

    ``error`` is the mean square distance from the teacher's state. ``past`` is the history, newest first.
    """

    path: tuple[int, ...]
    error: float = 0.0
    past: tuple[Tensor, ...] = ()


def best_paths(
    denoise: Denoise,
    targets: Tensor,
    levels: Sequence[float],
    solver: GridSampler,
    row_of: RowOf,
    steps: int,
) -> list[StudentPath]:
    """Return a solver's best paths from the first level to the last, with 1, …, ``steps`` steps.

    Step k + 1 starts from the states that levels kept after step k. Each level keeps the state nearest
    to the teacher's in mean square; of equally near states, the state from the highest level.

    Args:
        denoise: denoiser bound to ``len(levels) - 1`` copies of one latent's id.
        targets: states of the teacher at the levels, ``(len(levels), *event)``.
        levels: sigma_i, falling.
        solver: the linear method that ``row_of`` was made for.
        row_of: coefficients of a step (:func:`coefficients_by_step`).
        steps: largest number of steps, 1 … ``len(levels) - 1``.

    Raises:
        ValueError: for some number of steps, no path has a finite error.
    """
    last = len(levels) - 1
    every = level_tensor(list(levels), targets)
    students, states, found = {0: StudentPath((0,))}, targets.clone(), []
    for _ in range(steps):
        starts = torch.tensor([i for i in students if i < last], device=targets.device)
        known = denoise.take(torch.arange(len(starts), device=targets.device))
        images = known(states[starts], every[starts])
        least = torch.full((last + 1,), torch.inf, dtype=torch.float64, device=targets.device)
        origin = torch.full((last + 1,), -1, device=targets.device)
        reached, histories = states.clone(), {}
        for i, image in zip(starts.tolist(), images, strict=True):
            path = tuple(levels[j] for j in students[i].path)
            rows = [row_of(path, level) for level in levels[i + 1 :]]
            entry = compute_history_entry(states[i], image, rows[0].p, rows[0].q)
            terms = (entry, *students[i].past)
            moved = as_column([row.a for row in rows], targets) * states[i]
            columns = zip(*(row.b for row in rows), strict=True)
            for weights, term in zip(columns, terms, strict=False):
                moved += as_column(list(weights), targets) * term
            error = (moved - targets[i + 1 :]).flatten(1).double().square().mean(1)
            nearer = error < least[i + 1 :]
            for kept, new in ((least, error), (reached, moved)):
                kept[i + 1 :][nearer] = new[nearer]
            origin[i + 1 :][nearer] = i
            histories[i] = terms[: solver.history]
        states = reached
        students = {
            j: StudentPath((*students[i].path, j), error, histories[i])
            for j, (i, error) in enumerate(zip(origin.tolist(), least.tolist(), strict=True))
            if i >= 0
        }
        if last not in students:
            raise ValueError("oss: the solver's states are not finite; choose another solver")
        found.append(students[last])
    return found


def median_path(paths: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the path whose k-th index is the median, rounded down, of the paths' k-th indices."""
    return np.floor(np.median(np.array(paths), axis=0)).astype(int).tolist()
