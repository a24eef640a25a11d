"""Any deterministic sampler on any grid as a table of numbers, for libraries that have no such solver.

A fixed-grid method without noise is linear in its first state and in what the denoiser gives: the state of
every evaluation, and the result, are sums of both whose weights depend on the grid alone. They are found by
running the sampler once on a state that is a unit vector, with a denoiser that answers every call by
another one. Whatever it does between two evaluations, correctors, stages, deferred first steps, is in them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ....samplers import Grid, NoNoise, Sampler
from ....samplers.base import HasSolve, call_solve

SMALLEST = 1e-15
"""Weights below this are rounding."""
SPARE = 8
"""Evaluations more than a sampler says, for which there is room."""


class Row(NamedTuple):
    """One evaluation, d_i, at a state x_i, and the next state: x <- a x + sum_j b_j d_{i-j}.

    Attributes:
        sigma: level of the evaluation.
        a: weight of the state.
        b: weights of the denoised images, newest first.
    """

    sigma: float
    a: float
    b: tuple[float, ...]


class Steps(NamedTuple):
    """A sampler on a grid.

    Attributes:
        start: the state of the first evaluation is this times the first state of the grid, at the
            grid's first level.
        rows: one for each evaluation; the last one's next state is the result.
    """

    start: float
    rows: tuple[Row, ...]


def untabled(sampler: Sampler) -> str:
    """Why a sampler is no table of numbers; "" if it is one."""
    if sampler.for_maps:
        return "it is for few-step maps"
    if getattr(sampler, "of_checkpoint", False):
        return "it is whatever the scheduler of a checkpoint is"
    if sampler.stochastic:
        return "it draws noise"
    if sampler.adaptive:
        return "a tolerance decides on its steps"
    if sampler.batch_coupled or sampler.name == "paradigms":
        return "its steps depend on the samples"
    return ""


def steps_of(sampler: Sampler, grid: Grid) -> Steps:
    """What a sampler does on a grid.

    Raises:
        ValueError: it is not linear in its evaluations (:func:`untabled`), or as the sampler has it.
    """
    if reason := untabled(sampler):
        raise ValueError(f"{sampler.name} is no table of numbers: {reason}")
    probe = _Probe((sampler.nfe(grid) or len(grid)) + SPARE)
    first = torch.zeros(1, probe.room + 1, dtype=torch.float64)
    first[0, -1] = 1.0
    has_solve: HasSolve = sampler  # type: ignore[assignment]
    call = sampler.sample if not hasattr(sampler, "solve") else None
    noise = NoNoise(sampler)
    result = (
        call_solve(has_solve, probe, first, grid, noise)
        if call is None
        else call(probe, first, grid, noise)
    )
    states = [*probe.states, result[0]]
    rows = []
    for i, sigma in enumerate(probe.sigmas):
        now, then = states[i], states[i + 1]
        a = float(then[-1] / now[-1]) if abs(float(now[-1])) > SMALLEST else 0.0
        left = then - a * now
        if abs(float(left[-1])) > SMALLEST:
            raise ValueError(f"{sampler.name} goes back to a state that its steps have left")
        b = [w if abs(w) > SMALLEST else 0.0 for w in left[: i + 1].flip(0).tolist()]
        while b and not b[-1]:
            b.pop()
        rows.append(Row(sigma, a, tuple(b)))
    return Steps(float(states[0][-1]), tuple(rows))


class _Probe:
    """A denoiser whose k-th answer is the k-th unit vector, and that keeps what it was asked.

    Args:
        room: the most answers.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.states: list[Tensor] = []
        self.sigmas: list[float] = []

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """A new unit vector ``(1, room + 1)``."""
        if len(x) != 1 or len(self.sigmas) == self.room:
            raise ValueError("the sampler evaluates several states at once, or more than it says")
        self.states.append(x[0].clone())
        self.sigmas.append(float(sigma))
        answer = torch.zeros_like(x)
        answer[0, len(self.sigmas) - 1] = 1.0
        return answer

    def take(self, rows: Tensor) -> _Probe:  # noqa: ARG002
        """The same: there is one row."""
        return self
