"""Samplers in terms that other libraries have: a canonical name, or a table of numbers.

A method on a fixed grid is linear in its first state, the network's outputs and its draws of noise. The states that
the network is given, and the result, are weighted sums of these. The weights depend on the grid alone. One run finds
all weights: in this run, the first state, each output of the network and each draw are unit vectors. So the weights
include correctors, stages and deferred first steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ....samplers.base import Sampler, non_default
from ....samplers.families.cfgpp import CFGpp
from ....samplers.families.tabulated import ROUNDING, Tabulated
from ....samplers.grid import Grid
from ....samplers.types import StepNoise

ENDS = ("first", "last", "through_zero", "startup", "analytic_first")
"""Options of multistep methods that change their first or last steps."""


class Configured(NamedTuple):
    """Canonical name and non-default options; ``ends`` change first or last steps."""

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
"""Samplers that equal another with some options: name, options, name of the equal sampler."""

SMALLEST = 1e-15
"""Smallest weight that counts. Smaller ones are rounding errors."""
CLOSE = 1e-6
"""Largest relative difference that rounding in float64 can cause."""
SPARE = 8
"""Number of evaluations beyond a sampler's own count that are allowed."""
DRAWS = 4
"""Largest number of draws of noise for each evaluation."""
LARGE = 1e3
"""Scale of states at which a limit on images, such as clamping, shows."""

Weights = Callable[[float], tuple[float, float]]
"""Function from a level to the weights p and q of the clean image d = p x + q output."""


class StepRow(NamedTuple):
    """Row i: output_i at ``sigma``, then x <- a x + sum_j b_j output_{i-j} + sum_k c_k z_k.

    Sums over j and k begin at 0. z_k is draw k of the whole table, made in the first row whose ``c`` has a weight k.
    """

    sigma: float
    a: float
    b: tuple[float, ...]
    c: tuple[float, ...] = ()


class StepTable(NamedTuple):
    """Table of steps, a row an evaluation. Before them, x <- ``start`` x + sum_k c_k z_k."""

    start: float
    rows: tuple[StepRow, ...]
    c: tuple[float, ...] = ()


class _Draws:
    """Noise for a sampler, whose k-th draw is ``of(k)``. A draw that is repeated is the same."""

    def __init__(self, of: Callable[[int], Tensor]) -> None:
        self.of, self.seen = of, {}

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:  # noqa: ARG002 - white noise
        """Return the function that draws a step's noise."""
        return lambda draw=0, *, cur=None, nxt=None: self.of(  # noqa: ARG005
            self.seen.setdefault((step, draw), len(self.seen))
        )


def why_no_table(sampler: Sampler) -> str:
    """Return why a sampler's steps are no table of weights; "" if no reason is known beforehand.

    With "", :func:`tabulate_steps` can still fail on a grid.
    """
    if sampler.for_maps:
        return "it is for few-step maps"
    if getattr(sampler, "of_checkpoint", False):
        return "it is the scheduler of a checkpoint"
    if sampler.adaptive:
        return "a tolerance decides on its steps"
    if isinstance(sampler, CFGpp):
        return "it reads the unguided image too"
    if sampler.batch_coupled or sampler.name in ("paradigms", "predictor_corrector"):
        return "its steps depend on the samples"
    return ""


def tabulate_steps(
    sampler: Sampler, grid: Grid, weights: Weights = lambda _sigma: (0.0, 1.0)
) -> StepTable:
    """Return the steps of a sampler on a grid as a table of weights.

    ``weights`` gives p and q of the clean image d = p x + q output at a level. By default, d is the output.
    Steps are sums of outputs, because these sums lose fewer digits at high levels than sums of clean images.
    Raises a ValueError if the sampler is not linear in its evaluations, or cannot use the grid.
    """
    if reason := why_no_table(sampler):
        raise ValueError(f"{sampler.name} is no table of numbers: {reason}")
    room = (sampler.nfe(grid) or len(grid)) + SPARE
    size = room + 1 + DRAWS * room * sampler.stochastic  # outputs, first state, draws
    states: list[Tensor] = []
    sigmas: list[float] = []

    def unit_vector_denoiser(x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the clean image of a test network whose k-th output is the k-th unit vector."""
        if len(x) != 1 or len(sigmas) == room:
            raise ValueError("the sampler evaluates several states at once, or more than it says")
        states.append(x[0].clone())
        p, q = weights(float(sigma))
        answer = p * x
        answer[0, len(sigmas)] += q
        sigmas.append(float(sigma))
        return answer

    basis = torch.eye(size, dtype=torch.float64)

    def unit_draw(k: int) -> Tensor:
        if room + 1 + k >= size:
            raise ValueError(f"{sampler.name} draws more noise than {DRAWS} times an evaluation")
        return basis[None, room + 1 + k]

    draws = _Draws(unit_draw)
    states.append(sampler.sample(unit_vector_denoiser, basis[None, room], grid, draws)[0])
    rows = []
    for i, sigma in enumerate(sigmas):
        now, then = states[i], states[i + 1]
        if abs(float(now[room])) > SMALLEST:
            a = float(then[room] / now[room])
            a = a if abs(a) > ROUNDING else 0.0
        elif abs(float(then[room])) <= SMALLEST:
            a = 0.0
        else:
            raise ValueError(f"{sampler.name} goes back to a state that its steps have left")
        rest = then - a * now
        b, c = _trimmed(rest[: i + 1].flip(0)), _trimmed(rest[room + 1 :])
        rows.append(StepRow(sigma, a, b, c))
    steps = StepTable(float(states[0][room]), tuple(rows), _trimmed(states[0][room + 1 :]))
    if not all(_are_steps_of(steps, sampler, grid, weights, scale) for scale in (1.0, LARGE)):
        raise ValueError(f"{sampler.name} is no table of numbers: its steps depend on the samples")
    return steps


def _trimmed(weights: Tensor) -> tuple[float, ...]:
    """Return weights with rounding errors set to 0, and without the zeros at their end."""
    numbers = [w if abs(w) > SMALLEST else 0.0 for w in weights.tolist()]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _are_steps_of(
    steps: StepTable, sampler: Sampler, grid: Grid, weights: Weights, scale: float
) -> bool:
    """Return True if steps give the sampler's result on test states with a nonlinear network.

    ``scale`` multiplies all states, outputs and draws.
    """

    def output(x: Tensor, sigma: float) -> Tensor:
        return scale * (torch.sin(3 * x / (scale * (1 + sigma))) + 0.5)

    def denoised(x: Tensor, sigma: float | Tensor) -> Tensor:
        p, q = weights(float(sigma))
        return p * x + q * output(x, float(sigma))

    first = scale * grid.sigma[0] * torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4)
    draws = _Draws(lambda k: scale * torch.cos(first / scale * (k + 1)))

    def noise(c: tuple[float, ...]) -> Any:
        return sum(weight * draws.of(k) for k, weight in enumerate(c))

    x, outputs = steps.start * first + noise(steps.c), []
    for sigma, a, b, c in steps.rows:
        outputs.insert(0, output(x, sigma))
        x = a * x + sum(w * out for w, out in zip(b, outputs, strict=False)) + noise(c)
    right = sampler.sample(denoised, first, grid, draws)
    return bool((x - right).abs().max() <= CLOSE * right.abs().max())
