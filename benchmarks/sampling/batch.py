"""One batch of a cell: its latents, its noise, and an eager run that is counted and checked."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...models.denoiser import Bound, Denoiser
from ...samplers.base import Sampler
from ...samplers.grid import Grid
from ...samplers.noise import NoNoise, SampleNoise
from ...samplers.types import Denoise, Noise, Pair
from ..suites.cell import Cell
from .counting import Meter, ObservedDenoiser
from .execution import has_cost_by_level
from .failure import Failure

HIGHEST = 1e300
"""Level that stands for infinity in a flow's schedules: its time is 1 to the last bit."""


def solve_cell(cell: Cell, denoise: Denoise, x: Tensor, noise: Noise) -> Tensor:
    """Return the samples ``(batch, *event)`` of a cell, which must have a grid.

    ``x`` ``(batch, *event)`` are states at the first level, or standard normal noise z if the cell begins at an
    infinite level. At that level nothing is left of the data, as at t = 1 of a flow: the network's input is z alone,
    its output is d. The state in canonical coordinates is infinite. With constant d, the flow reaches at a level s

        x(s) = d + s z,

    the limit of DDIM's step (Song et al. 2021, arXiv:2010.02502, eq. 12) as the first level grows.
    All samplers begin with this step, at one evaluation, and treat the second level as their first. A step of higher
    order would use the slope at the infinite level, which has no weight in an interpolation in sigma or log sigma.
    """
    assert cell.grid is not None
    if cell.infinite:
        x = denoise(x, math.inf) + cell.grid.sigma[0] * x
    return cell.sampler.sample(denoise, x, cell.grid, noise)


def evaluations_per_sample(cell: Cell) -> int | None:
    """Return a cell's number of denoiser calls per sample; None if only a run can count them."""
    assert cell.grid is not None
    says = cell.sampler.nfe(cell.grid)
    return None if says is None else says + int(cell.infinite)


def is_start_at_infinity(model: Denoiser, sampler: Sampler, start: str) -> bool:
    """Return True if runs of a sampler from a start begin at an infinite level of the model."""
    # these samplers do not keep to the grid
    moves = sampler.adaptive or sampler.own_grid or getattr(sampler, "needs_look", False)
    return model.infinite and start == "noise" and not moves


def without_first_level(grid: Grid) -> Grid | None:
    """Return the grid without its first, infinite level; None if only one level is left."""
    return Grid(grid.sigma[1:]) if len(grid) > 1 else None


class SampledBatch(NamedTuple):
    """Samples ``x``, network evaluations per sample ``nfe``, sequential network calls ``depth``."""

    x: Tensor
    nfe: float
    depth: int


def latents(
    model: Denoiser, ids: Tensor, seed: int, dtype: torch.dtype
) -> tuple[Tensor, SampleNoise]:
    """Return states ``(n, *event)`` at sigma_max of samples ``ids`` ``(n,)``, and the noise source.

    Both depend on ``ids`` and ``seed`` alone: every sampler starts from the same states.
    """
    noise = SampleNoise(seed, ids, model.event, dtype)
    return model.sigma_max * model.place_noise(noise.initial()), noise


def first_states_and_noise(model: Denoiser, cell: Cell, ids: Tensor) -> tuple[Tensor, Noise]:
    """Return ``x`` ``(n, *event)`` and ``noise`` of :func:`solve_cell` for samples ``ids``."""
    noise = noise_of(cell, ids, model.event)
    x, source = latents(model, ids, cell.seed, getattr(torch, cell.dtype))
    if cell.infinite:
        return source.initial(), noise
    return cell.start.states(x, model.draw_labels(ids, cell.seed)), noise


def noise_of(cell: Cell, ids: Tensor, event: tuple[int, ...]) -> Noise:
    """Return the noise source of a cell's sampler for samples ``ids``, on the device of ``ids``."""
    dtype = getattr(torch, cell.dtype)
    if cell.noise == "brownian":
        from ...samplers.brownian import BrownianNoise

        return BrownianNoise(cell.seed, ids, event, cell.sigma_max, cell.sigma_min, dtype)
    return NoNoise() if cell.noise is None else SampleNoise(cell.seed, ids, event, dtype)


def sample_batch(
    model: Denoiser, meter: Meter, bound: Bound, cell: Cell, ids: Tensor
) -> SampledBatch:
    """Draw the samples ``ids`` with the cell's sampler, and count passes of the network.

    ``meter`` counts the calls of ``model``; ``bound`` is ``model`` with the labels of ``ids``. Raises a Failure if
    samples have the wrong shape or dtype, or if the counted passes do not fit the sampler's ``nfe``.
    """
    assert cell.grid is not None
    x, noise = first_states_and_noise(model, cell, ids)
    meter.reset()
    saved = 0.0  # passes times samples, where guidance is off

    def count_saved(_denoise: Denoise, x: Tensor, sigma: float | Tensor, _images: Pair) -> None:
        nonlocal saved
        levels = sigma.expand(len(x)).tolist() if isinstance(sigma, Tensor) else [sigma] * len(x)
        saved += sum(model.passes - model.passes_at(level) for level in levels)

    varies = has_cost_by_level(model, cell.grid, infinite=cell.infinite)
    denoise = ObservedDenoiser(bound, count_saved) if varies else bound
    out = solve_cell(cell, denoise, x, noise)
    if not isinstance(out, Tensor) or out.shape != x.shape or out.dtype != x.dtype:
        got = f"{tuple(out.shape)} {out.dtype}" if isinstance(out, Tensor) else type(out).__name__
        raise Failure("failed", f"sample() returned {got}, expected {tuple(x.shape)} {x.dtype}")
    nfe, says = meter.rows / len(ids), evaluations_per_sample(cell)
    counted = nfe + saved / len(ids)
    if says is not None and counted != says * model.passes:
        raise Failure(
            "failed",
            f"counted {counted:g} evaluations per sample, but nfe() says {says * model.passes}",
        )
    return SampledBatch(out, nfe, meter.calls)
