"""Runs of samplers from the same latents, without the steps that are known already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models import Denoiser
from ...models.denoiser import Bound
from ...samplers import Grid, NoNoise, Sampler
from ...samplers.families.tabulated import TableRow, Tabulated


class _Trajectory(NamedTuple):
    """A run by a table.

    Attributes:
        steps: levels and coefficients.
        states: at the beginning of each step.
        images: denoised, of each step that makes an evaluation.
        end: the samples.
    """

    steps: Sequence[tuple[float, TableRow]]
    states: Sequence[Tensor]
    images: Sequence[Tensor]
    end: Tensor


@dataclass(eq=False)
class Runs:
    """Runs of deterministic samplers from the same latents. A table that differs in one step from the last
    other one begins at that step, from the cached states and images.

    Attributes:
        model: on the device of ``ids``.
        ids: ``(n,)`` the latents' numbers.
        seed: of the latents.
        x: ``(n, *event)`` the latents, at the first level of the grids.
        ends: ``(n, *event)`` where they lead.
        batch: samples at a time.
    """

    model: Denoiser
    ids: Tensor
    seed: int
    x: Tensor
    ends: Tensor
    batch: int
    _trajectories: dict[tuple[int, int], _Trajectory] = field(default_factory=dict, repr=False)

    @torch.no_grad()
    def off(self, sampler: Sampler, grid: Grid, part: slice) -> NDArray[np.float64]:
        """Return samples of some of the latents less their endpoints, ``(n, d)`` in data units."""
        ids, x = self.ids[part].split(self.batch), self.x[part].split(self.batch)
        samples = [self._samples(sampler, grid, *pair) for pair in zip(ids, x, strict=True)]
        differences = torch.cat(samples).double() - self.ends[part].double()
        return differences.flatten(1).cpu().numpy()

    def _samples(self, sampler: Sampler, grid: Grid, ids: Tensor, x: Tensor) -> Tensor:
        bound = self.model.bind(ids, self.seed)
        if not isinstance(sampler, Tabulated):
            return sampler.sample(bound, x, grid, NoNoise())
        steps = list(zip(grid.sigma[:-1], sampler.table, strict=True))
        key = int(ids[0]), len(ids)
        cached = self._trajectories.get(key)
        others = (
            [] if cached is None else [i for i, step in enumerate(steps) if cached.steps[i] != step]
        )
        if cached is None or len(others) > 1:
            self._trajectories[key] = cached = _run(bound, steps, [x], [])
            return cached.end
        if not others:
            return cached.end
        first = others[0]
        # the image at this step's own level is among those that are known, unless the level is another
        count = max(len(steps[first][1].b) - (cached.steps[first][0] != steps[first][0]), 0)
        return _run(bound, steps, cached.states[: first + 1], cached.images[:count]).end


def _run(
    bound: Bound,
    steps: Sequence[tuple[float, TableRow]],
    states: Sequence[Tensor],
    images: Sequence[Tensor],
) -> _Trajectory:
    """Run a table from the last of the states on."""
    states, images = list(states), list(images)
    x = states[-1]
    for level, row in steps[len(states) - 1 :]:
        if len(images) < len(row.b):
            images.append(bound(x, level))
        x = row.a * x
        for weight, image in zip(row.b, reversed(images), strict=True):
            x = x + weight * image
        states.append(x)
    return _Trajectory(steps, states[:-1], images, x)
