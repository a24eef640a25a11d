"""Start at an infinite level: the first step of every sampler is the same, and exact.

Where nothing is left of the data, as at t = 1 of a flow, the state in canonical coordinates is
infinite, but the network's input is noise z alone, and it has an output d. The flow from there to
a level s is, with d held,

    x(s) = d + s z,

the limit of DDIM's step (Song et al. 2021, arXiv:2010.02502, eq. 12) as the first level grows. All
samplers begin so, at one evaluation, and treat the second level as their first. A step of higher
order would need the slope at the infinite level, and histories in sigma or log sigma would give it
no weight.
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
"""Number of evaluations of the first step."""
HIGHEST = 1e300
"""Stand-in for an infinite level in a flow's schedules: its time is 1 to the last bit."""


def solved(cell: Cell, denoise: Denoise, x: Tensor, noise: Noise) -> Tensor:
    """Return the samples of a cell.

    Args:
        cell: one with a grid.
        denoise: bound denoiser.
        x: ``(batch, *event)``, states at the grid's first level, or noise of standard deviation 1
            if the cell begins at an infinite one.
        noise: of the sampler.
    """
    assert cell.grid is not None
    if cell.infinite:
        x = denoise(x, math.inf) + cell.grid.sigma[0] * x
    return cell.sampler.sample(denoise, x, cell.grid, noise)


def evaluations(cell: Cell) -> int | None:
    """Return the evaluations per sample of a cell's run, in calls of the denoiser; None if only
    counting can tell.
    """
    assert cell.grid is not None
    says = cell.sampler.nfe(cell.grid)
    return None if says is None else says + FIRST * cell.infinite


def begins(model: Denoiser, sampler: Sampler, start: str) -> bool:
    """Return True if a run begins at an infinite level: the model has one, and the sampler keeps to
    its grid and begins from noise.
    """
    moves = sampler.adaptive or sampler.own_grid or getattr(sampler, "needs_look", False)
    return model.infinite and start == "noise" and not moves


def below(grid: Grid) -> Grid | None:
    """Return the grid without its first, infinite level; None if a single level is left."""
    return Grid(grid.sigma[1:]) if len(grid) > 1 else None


def top_of(model: Denoiser, process: object) -> float:
    """Return the top level of a schedule: of a flow's time the stand-in for t = 1, else the model's
    highest finite level.
    """
    return HIGHEST if isinstance(process, RectifiedFlow) else model.sigma_max
