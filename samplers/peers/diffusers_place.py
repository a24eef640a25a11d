"""Setting our noise levels in each scheduler of diffusers, and the coordinates that it works in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..grid import Grid

TABLE = ("DDIM", "DDPM", "PNDM")
"""Schedulers that index a table of training times."""
TWICE = ("HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "DPMSolverSDE")
"""Schedulers that evaluate twice a step, and once in the step to 0."""


class Frame(NamedTuple):
    """A scheduler's coordinates.

    Attributes:
        scale: its state is this times ours, at a level of ours.
        levels: where to evaluate, one for each of its timesteps.
        output: what the network would return there, of (d, the scheduler's state, level).
    """

    scale: Callable[[float], float]
    levels: Sequence[float]
    output: Callable[[Tensor, Tensor, float], Tensor]


def place(scheduler: Any, kind: str, grid: Grid) -> Frame:
    """Give a scheduler, fresh from ``set_timesteps(len(grid))``, our levels.

    Raises:
        ValueError: it can only end at 0, and the grid does not.
    """
    if kind in TABLE:
        return _table(scheduler, grid)
    if kind == "IPNDM":
        return _ipndm(scheduler, grid)
    evaluated = list(grid.sigma[:-1])
    scheduler.sigmas = _tensor(grid.sigma)
    if kind in TWICE:
        if not grid.to_zero:
            raise ValueError(f"diffusers' {kind}Scheduler always steps to 0; use end = zero")
        evaluated = _twice(scheduler, kind, grid)
    scheduler.timesteps = _tensor(evaluated)
    if kind.startswith("EDM"):
        return Frame(_ones, evaluated, partial(_raw, scheduler.config.sigma_data))
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        return Frame(_alpha, evaluated, _noise)
    return Frame(_ones, evaluated, _data if kind == "EulerDiscrete" else _direction)


def _twice(scheduler: Any, kind: str, grid: Grid) -> list[float]:
    """Set the interleaved lists; the levels in the order of evaluation."""
    sigma = _tensor(grid.sigma)
    down = _down(scheduler, sigma) if kind == "KDPM2AncestralDiscrete" else sigma[1:]
    scheduler.sigmas = torch.cat([sigma[:1], sigma[1:].repeat_interleave(2), sigma[-1:]])
    second = (
        sigma[1:]
        if kind == "HeunDiscrete"
        else torch.exp(
            (sigma[:-1].log() + (sigma[1:] if kind == "DPMSolverSDE" else down).log()) / 2
        )
    )
    second[-1] = 0.0
    if kind == "KDPM2Discrete":
        scheduler.sigmas_interpol = torch.cat([sigma[:1], second.repeat_interleave(2), sigma[-1:]])
    elif kind == "KDPM2AncestralDiscrete":
        scheduler.sigmas_interpol = torch.cat([second.repeat_interleave(2), sigma[-1:]])
    pairs = [level for pair in zip(grid.sigma[:-1], second.tolist(), strict=True) for level in pair]
    return pairs[:-1]


def _down(scheduler: Any, sigma: Tensor) -> Tensor:
    """Set the lists of an ancestral step, in the scheduler's own layout: up, and down one entry
    earlier.
    """
    up = (sigma[1:] ** 2 * (sigma[:-1] ** 2 - sigma[1:] ** 2) / sigma[:-1] ** 2).sqrt()
    down = (sigma[1:] ** 2 - up**2).sqrt()
    zero = sigma.new_zeros(1)
    scheduler.sigmas_up = torch.cat([up.repeat_interleave(2), zero])
    scheduler.sigmas_down = torch.cat([down.repeat_interleave(2), zero])
    return down


def _table(scheduler: Any, grid: Grid) -> Frame:
    """Set one training time for each level but the last, which is the scheduler's end."""
    alphas = _tensor([_alpha(s) ** 2 for s in grid.sigma])
    scheduler.alphas_cumprod = alphas[:-1].flip(0)
    scheduler.final_alpha_cumprod = scheduler.one = alphas[-1]
    rising = grid.sigma[-2::-1]
    return Frame(_alpha, [rising[int(t)] for t in scheduler.timesteps], _noise)


def _ipndm(scheduler: Any, grid: Grid) -> Frame:
    """Set its lists of alpha and sigma, for a network that predicts v = alpha eps - sigma x0."""
    alpha = [_alpha(s) for s in grid.sigma]
    scheduler.alphas, scheduler.betas = (
        _tensor(alpha),
        _tensor([a * s for a, s in zip(alpha, grid.sigma, strict=True)]),
    )
    scheduler.timesteps = _tensor(grid.sigma[:-1])
    return Frame(_alpha, grid.sigma[:-1], _velocity)


def _data(d: Tensor, x: Tensor, s: float) -> Tensor:  # noqa: ARG001
    return d


def _direction(d: Tensor, x: Tensor, s: float) -> Tensor:
    return (x - d) / s


def _noise(d: Tensor, x: Tensor, s: float) -> Tensor:
    """The noise eps of x = alpha (d + s eps)."""
    return (x / _alpha(s) - d) / s


def _velocity(d: Tensor, x: Tensor, s: float) -> Tensor:
    """The velocity alpha eps - alpha s d."""
    return _alpha(s) * (_noise(d, x, s) - s * d)


def _raw(sigma_data: float, d: Tensor, x: Tensor, s: float) -> Tensor:
    """The raw output F of EDM's d = c_skip x + c_out F."""
    total = s * s + sigma_data**2
    return (d - sigma_data**2 / total * x) * math.sqrt(total) / (s * sigma_data)


def _alpha(sigma: float) -> float:
    return 1 / math.sqrt(1 + sigma * sigma)


def _ones(sigma: float) -> float:  # noqa: ARG001
    return 1.0


def _tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
