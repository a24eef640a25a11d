"""Single-step methods with several evaluations and noise between, as precomputed coefficients."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..buffers import buffer
from ..grid import Grid
from ..loop import GridSampler
from ..types import Denoise, StepNoise


class Mix(NamedTuple):
    """A linear combination of what a step has so far: a x + sum_j b_j d_j + sum_m c_m z_m.

    ``sigma`` is its level.
    """

    sigma: float
    a: float
    b: tuple[float, ...] = ()
    c: tuple[float, ...] = ()


class NoisyRow(NamedTuple):
    """A step: d_k = denoise(stage_k) for each stage, then x <- end.

    Attributes:
        stages: where the denoiser is evaluated.
        end: the next state.
        spans: the interval (cur, nxt) that each z_m drives. Where they overlap, as in a method that
            draws for a stage and again for the whole step, the z_m are increments of one path.
    """

    stages: tuple[Mix, ...]
    end: Mix
    spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class NoisyStages(GridSampler):
    """A single-step method that is linear in the state, the denoised images and the noise.

    Subclasses write :meth:`row`.
    """

    @abstractmethod
    def row(self, cur: float, nxt: float) -> NoisyRow:
        """Coefficients of the step from ``cur`` to ``nxt`` > 0."""

    def plan(self, grid: Grid) -> list[NoisyRow]:
        """Return one row per step, of noise over disjoint intervals; the step to 0 is x <- d."""
        return [
            on_one_path(self.row(cur, nxt))
            if nxt > 0
            else NoisyRow((Mix(cur, 1.0),), Mix(0.0, 0.0, (1.0,)))
            for cur, nxt in grid.intervals()
        ]

    def nfe(self, grid: Grid) -> int:
        """The stages of the plan."""
        return sum(len(row.stages) for row in self.plan(grid))

    def step(
        self,
        x: Tensor,
        row: NoisyRow,
        past: tuple[()],  # noqa: ARG002
        denoise: Denoise,
        noise: StepNoise,
    ) -> tuple[Tensor, None]:
        """Apply the row."""
        draws = [noise(m, cur=cur, nxt=nxt) for m, (cur, nxt) in enumerate(row.spans)]
        images: list[Tensor] = []
        for stage in row.stages:
            images.append(
                denoise(_mixed(x, stage, images, draws, buffer(x)) if stage.b else x, stage.sigma)
            )
        return _mixed(x, row.end, images, draws, x), None


def on_one_path(row: NoisyRow, clock: Callable[[float], float] = float) -> NoisyRow:
    """Return the row with its noise drawn over disjoint intervals: overlapping z_m are then
    normalised increments of one Brownian path, from any source of noise.

    White noise does not know of intervals: z_m and z_n for overlapping ones would be independent
    there. The path's time is ``clock(sigma)``, by default sigma, as in k-diffusion's
    BrownianTreeNoiseSampler: (W(b) - W(a)) / sqrt|b - a|. For a stage over the share r of a step of
    length h in lam, the correlation of its noise with the step's is sqrt(r) + O(h) on every smooth
    clock, as weak order 2 requires. The clocks differ in the next term, which matters for large
    steps.
    """
    levels = sorted({level for span in row.spans for level in span}, reverse=True)
    parts = list(pairwise(levels))
    lengths = [abs(clock(nxt) - clock(cur)) for cur, nxt in parts]
    shares = [
        [
            math.sqrt(length / abs(clock(end) - clock(start))) if start >= cur > end else 0.0
            for (cur, _), length in zip(parts, lengths, strict=True)
        ]
        for start, end in row.spans
    ]

    def mixed(c: Sequence[float]) -> tuple[float, ...]:
        weights = [
            math.fsum(weight * share[k] for weight, share in zip(c, shares, strict=False))
            for k in range(len(parts))
        ]
        while weights and weights[-1] == 0:
            weights.pop()
        return tuple(weights)

    return NoisyRow(
        tuple(stage._replace(c=mixed(stage.c)) for stage in row.stages),
        row.end._replace(c=mixed(row.end.c)),
        tuple(parts),
    )


def _mixed(
    x: Tensor, mix: Mix, images: Sequence[Tensor], draws: Sequence[Tensor], out: Tensor | None
) -> Tensor:
    """The sum, into ``out`` if given.

    With a = 0, x is not read, so that a non-finite x does not spread.
    """
    y = (
        torch.mul(images[0], mix.b[0], out=out)
        if mix.a == 0
        else torch.mul(x, mix.a, out=out).add_(images[0], alpha=mix.b[0])
    )
    for weight, d in zip(mix.b[1:], images[1:], strict=True):
        y = y.add_(d, alpha=weight)
    for weight, z in zip(mix.c, draws, strict=False):
        y = y.add_(z, alpha=weight)
    return y
