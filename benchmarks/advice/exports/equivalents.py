"""Samplers in terms that other libraries have: a canonical name, or a table of numbers.

A deterministic method on a fixed grid is linear in its first state and in the network's outputs. Each state at
which it evaluates, and the result, are sums of these, with weights that depend on the grid alone. One run finds the
weights: the first state is a unit vector, and the network answers each call with another unit vector. So the
weights include correctors, stages and deferred first steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ....samplers import Grid, NoNoise, Sampler, non_default
from ....samplers.families.tabulated import ROUNDING, Tabulated

ENDS = ("first", "last", "through_zero", "startup", "analytic_first")
"""Options of multistep methods that change their first or last steps."""


class Configured(NamedTuple):
    """Canonical name and non-default options of a sampler; ``ends`` are options in :data:`ENDS`."""

    name: str
    options: dict[str, Any]
    ends: dict[str, Any]


def name_and_options(sampler: Sampler) -> Configured | None:
    """Return a sampler's canonical name and options; None if a model decides its coefficients."""
    if isinstance(sampler, Tabulated) or any(f.metadata.get("found") for f in fields(sampler)):
        return None
    changed = non_default(sampler)
    ends = {key: changed.pop(key) for key in ENDS if key in changed}
    for twin, settings, name in _TWINS:
        if sampler.name == twin and settings.items() <= changed.items():
            return Configured(name, {k: v for k, v in changed.items() if k not in settings}, ends)
    name = ("" if changed or ends else sampler.same_as) or sampler.name
    return Configured("dpm_2" if name == "dpm_solver_2" else name, changed, ends)


_TWINS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("ddim", {"eta": 1.0}, "ddpm"),
    ("euler_ancestral", {"eta": 0.0}, "euler"),
    ("dpmpp_2s_ancestral", {"eta": 0.0}, "dpmpp_2s"),
    ("dpm_2_ancestral", {"eta": 0.0}, "dpm_2"),
    ("dpmpp_2m_sde", {"eta": 0.0, "solver_type": "heun"}, "xeab_2"),
    ("dpmpp_2m_sde", {"eta": 0.0}, "dpmpp_2m"),
)
"""Samplers that equal another sampler with some options: name, options, other sampler's name."""

SMALLEST = 1e-15
"""Smallest weight that counts. Smaller ones are rounding errors."""
CLOSE = 1e-6
"""Largest relative difference that rounding in float64 can cause."""
SPARE = 8
"""Number of evaluations beyond a sampler's own count that are allowed."""

Weights = Callable[[float], tuple[float, float]]
"""Function from a level to the weights p and q of the clean image d = p x + q output."""


def x0_prediction_weights(sigma: float) -> tuple[float, float]:  # noqa: ARG001
    """Return the weights p and q for a network whose output is the clean image."""
    return 0.0, 1.0


class Row(NamedTuple):
    """Row i: an output at level ``sigma``, then x <- a x + sum_j b_j output_{i-j} with j from 0."""

    sigma: float
    a: float
    b: tuple[float, ...]


class Steps(NamedTuple):
    """Table of steps, a row an evaluation. Before them, the first state is scaled by ``start``."""

    start: float
    rows: tuple[Row, ...]


def why_no_table(sampler: Sampler) -> str:
    """Return why a sampler cannot be written as a table of numbers; "" if nothing is known against it."""
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


def tabulate_steps(sampler: Sampler, grid: Grid, weights: Weights = x0_prediction_weights) -> Steps:
    """Return the steps of a deterministic sampler on a grid as numbers.

    The network's outputs become clean images by ``weights``. At high levels, sums of outputs lose fewer digits than
    sums of clean images.

    Raises:
        ValueError: the sampler is not linear in its evaluations (:func:`why_no_table`), or cannot use the grid.
    """
    if reason := why_no_table(sampler):
        raise ValueError(f"{sampler.name} is no table of numbers: {reason}")
    room = (sampler.nfe(grid) or len(grid)) + SPARE
    states: list[Tensor] = []
    sigmas: list[float] = []

    def unit_vectors(x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the clean image for a network whose k-th output is the k-th unit vector."""
        if len(x) != 1 or len(sigmas) == room:
            raise ValueError("the sampler evaluates several states at once, or more than it says")
        states.append(x[0].clone())
        p, q = weights(float(sigma))
        answer = p * x
        answer[0, len(sigmas)] += q
        sigmas.append(float(sigma))
        return answer

    first = torch.zeros(1, room + 1, dtype=torch.float64)
    first[0, -1] = 1.0
    result = sampler.sample(unit_vectors, first, grid, NoNoise(sampler))
    states.append(result[0])
    rows = []
    for i, sigma in enumerate(sigmas):
        now, then = states[i], states[i + 1]
        if abs(float(now[-1])) > SMALLEST:
            a = float(then[-1] / now[-1])
            a = a if abs(a) > ROUNDING else 0.0
        elif abs(float(then[-1])) <= SMALLEST:
            a = 0.0
        else:
            raise ValueError(f"{sampler.name} goes back to a state that its steps have left")
        rest = then - a * now
        b = [w if abs(w) > SMALLEST else 0.0 for w in rest[: i + 1].flip(0).tolist()]
        while b and not b[-1]:
            b.pop()
        rows.append(Row(sigma, a, tuple(b)))
    steps = Steps(float(states[0][-1]), tuple(rows))
    if not _are_steps_of(steps, sampler, grid, weights):
        raise ValueError(f"{sampler.name} is no table of numbers: its steps depend on the samples")
    return steps


def _are_steps_of(steps: Steps, sampler: Sampler, grid: Grid, weights: Weights) -> bool:
    """Return True if the steps give the sampler's result on test states with a nonlinear network."""

    def output(x: Tensor, sigma: float) -> Tensor:
        return torch.sin(3 * x / (1 + sigma)) + 0.5

    def denoised(x: Tensor, sigma: float | Tensor) -> Tensor:
        p, q = weights(float(sigma))
        return p * x + q * output(x, float(sigma))

    first = grid.sigma[0] * torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4)
    x, outputs = steps.start * first, []
    for sigma, a, b in steps.rows:
        outputs.insert(0, output(x, sigma))
        x = a * x + sum(w * out for w, out in zip(b, outputs, strict=False))
    right = sampler.sample(denoised, first, grid, NoNoise(sampler))
    return bool((x - right).abs().max() <= CLOSE * right.abs().max())
