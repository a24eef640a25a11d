"""Beginning at an infinite level: the first step of every sampler is the same, and exact.

Where nothing is left of the data, as at t = 1 of a flow, the state in canonical coordinates is
infinite, but what the network is shown is noise z alone, and it has an answer d. The flow from there to
a level s is, with d held,

    x(s) = d + s z,

the limit of DDIM's step (Song et al. 2021, arXiv:2010.02502, eq. 12) as the first level grows. All
samplers begin so, at one evaluation, and go on from the second level as from any first one: a step of
higher order would need the slope at the infinite level, and histories in sigma or log sigma would give
what was seen there no weight, so that none is kept.
"""

from __future__ import annotations

import math

from torch import Tensor

from ...models import Denoiser
from ...models.process import RectifiedFlow
from ...samplers import Grid, Noise, Sampler
from ...samplers.types import Denoise
from ..suites.cell import Cell

FIRST = 1
"""Evaluations of the first step."""
HIGHEST = 1e300
"""In place of an infinite level, for schedules in the time of a flow: its time is 1 to the last bit."""


def solved(cell: Cell, denoise: Denoise, x: Tensor, noise: Noise) -> Tensor:
    """The samples of a cell.

    Args:
        cell: one with a grid.
        denoise: bound denoiser.
        x: ``(batch, *event)``, states at the grid's first level, or noise of standard deviation 1 if
            the cell begins at an infinite one.
        noise: what the sampler draws from.
    """
    assert cell.grid is not None
    if cell.infinite:
        x = denoise(x, math.inf) + cell.grid.sigma[0] * x
    return cell.sampler.sample(denoise, x, cell.grid, noise)


def evaluations(cell: Cell) -> int | None:
    """Evaluations per sample of a cell's run, in calls of the denoiser; None if only counting can
    tell.
    """
    assert cell.grid is not None
    says = cell.sampler.nfe(cell.grid)
    return None if says is None else says + FIRST * cell.infinite


def begins(model: Denoiser, sampler: Sampler, start: str) -> bool:
    """Whether a run begins at an infinite level: the model knows it, and the sampler keeps to its
    grid and begins from noise. Others begin at the model's highest finite level.
    """
    moves = sampler.adaptive or sampler.own_grid or getattr(sampler, "needs_look", False)
    return model.infinite and start == "noise" and not moves


def below(grid: Grid) -> Grid | None:
    """The grid without its first level, which is the infinite one; None if a single level is left."""
    return Grid(grid.sigma[1:]) if len(grid) > 1 else None


def top_of(model: Denoiser, process: object) -> float:
    """What stands for the infinite level in a schedule: the levels of a flow's time are those from t
    = 1, all others are as from the model's highest finite level.
    """
    return HIGHEST if isinstance(process, RectifiedFlow) else model.sigma_max
