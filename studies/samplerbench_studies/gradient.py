"""Gradients through a whole run of a sampler: of the error on a problem, by levels and coefficients.

A linear method of one evaluation a step is a table (:mod:`samplerbench.samplers.families.tabulated`),
and a run of it is differentiated by the model's own backward pass. A model may cut its slopes by the
level, as those of checkpoints do, whose levels are mapped to times in NumPy: differences of two
evaluations stand in for them. Where the sampler is to stay what it is, its table follows from the levels;
that map costs no evaluation, and its slopes are central differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.tuning import FreeKind, FreeParameters, TuningProblem, arrays_of
from samplerbench.models import Bound
from samplerbench.samplers import Grid, Sampler, tabulate

BACKWARD = 2
"""Evaluations that the backward pass of one is counted as: it multiplies twice where the forward
pass does once, by the weights and by what came in.
"""

CHUNK = 96
"""Latents whose states are kept for a backward pass at a time, of models with few dimensions."""
ROOM = 2**15
"""Numbers of one state that they have together at most, where there are more dimensions."""

NEAR = 0.02
"""Difference of two levels, in log sigma, whose images say how an image moves with its level, where a model's
own backward pass does not. The levels that a network knows of a process of 1000 times are closer.
"""

_AGREE = 0.1  # relative difference of two slopes by a level that second order can make
_SHIFT = 1e-5  # of log sigma, for the slopes of a table
_TINY = 1e-18  # of a squared distance, so that its root has a slope at 0


@dataclass(eq=False)
class Unrolled:
    """The logarithm of a mean distance as a function of free numbers, with its gradient.

    The numbers are those of :class:`.FreeParameters`, 0 at the start.

    Attributes:
        problem: its latents and endpoints.
        sampler: a linear method, which is what a table begins with.
        start: its levels.
        power: of the mean of distances, 0 for the geometric one.
        what: is free.
        calls: gradients that were taken.
    """

    problem: TuningProblem
    sampler: Sampler
    start: Grid
    power: int
    what: FreeKind
    calls: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        model = self.problem.model
        self.free = FreeParameters(
            self.sampler, self.start, model.sigma_min, model.sigma_max, self.what
        )

    def __call__(self, z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The logarithm of the error at ``z`` ``(size,)``, and its gradient.

        Not finite samples give an infinite error and no slope.
        """
        self.calls += 1
        free = torch.from_numpy(np.array(z, float)).requires_grad_()
        with torch.inference_mode(False), torch.enable_grad():
            levels, a, w = self._run(free)
            # the graph from the free numbers to these is walked once, not once a chunk
            leaves = [part.detach().requires_grad_() for part in (levels, a, w)]
            total = self._mean(*leaves)
            slopes = [leaf.grad if leaf.grad is not None else 0 * leaf for leaf in leaves]
            torch.autograd.backward([levels, a, w, 0 * free], [*slopes, torch.ones_like(free)])
        assert free.grad is not None
        if not np.isfinite(total) or not bool(free.grad.isfinite().all()):
            return float("inf"), np.zeros(len(z))
        if self.power == 0:
            return total, free.grad.numpy()
        scale = 1 / (self.power * total)
        return float(np.log(total)) / self.power, free.grad.numpy() * scale

    def _run(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Levels ``(n,)``, and the table ``(n,)``, ``(n, n)`` with column j for the image of step j."""
        if self.what != "levels":
            return self.free.tensors(free)
        levels = self.free.levels(free)
        return levels, *_planned(self.sampler, levels)

    def _mean(self, levels: Tensor, a: Tensor, w: Tensor) -> float:
        """The mean power of the distances (of their logarithm for power 0); slopes are added to the
        arguments' ``grad``.
        """
        problem, total = self.problem, 0.0
        count = len(problem.ids)
        for part, x in self._chunks():
            ends = self._samples(part, x, levels, a, w)
            apart = (ends - problem.endpoints[part - problem.ids[0]]).double()
            squares = apart.square().flatten(1).mean(1) + _TINY
            powers = squares.log() / 2 if self.power == 0 else squares ** (self.power / 2)
            mean = powers.sum() / count
            mean.backward()
            total += float(mean.detach())
        return total

    def _samples(self, ids: Tensor, x: Tensor, levels: Tensor, a: Tensor, w: Tensor) -> Tensor:
        images: list[Tensor] = []
        bound = self.problem.model.bind(ids, self.problem.seed)
        for i in range(len(a)):
            if i >= self.free.skipped:
                images.append(self._image(bound, x, levels[i], fixed=i == 0))
            weights = w[i, self.free.skipped :].to(x.device, x.dtype)
            x = a[i].to(x.device, x.dtype) * x
            for weight, image in zip(weights, images, strict=False):
                x = x + weight * image
        return x

    def _image(self, bound: Bound, x: Tensor, level: Tensor, *, fixed: bool) -> Tensor:
        """The denoised images of states at a level, which have slopes by both; by the state alone where
        the level is fixed.
        """
        meter = self.problem.meter
        moves = self.free.has_free_levels and not fixed
        differs = moves and not self._own_slopes
        given = float(level.detach()) if differs or not moves else level.to(x.device).expand(len(x))
        before = meter.rows
        image = bound(x, given)
        meter.rows += BACKWARD * (meter.rows - before)
        if differs:
            moved = self._moved(bound, x, float(level.detach()))
            image = image + moved * (level - level.detach()).to(x.device, x.dtype)
        return image

    @cached_property
    def _own_slopes(self) -> bool:
        """Whether the model's backward pass gives how images move with their level."""
        model = self.problem.model
        ids, x = (part[:4] for part in self.problem.batches[0])
        bound = model.bind(ids, self.problem.seed)
        level = (model.sigma_min * model.sigma_max) ** 0.5
        x = x * (level / model.sigma_max)
        sigma = torch.full((len(x),), level, dtype=torch.float64, device=x.device).requires_grad_()
        image = bound(x, sigma)
        weights = torch.ones_like(image)
        if not image.requires_grad:
            return False
        (own,) = torch.autograd.grad(image, sigma, weights, allow_unused=True)
        if own is None:
            return False
        near = (self._moved(bound, x, level) * weights).flatten(1).sum(1).double()
        return bool((own - near).norm() <= _AGREE * near.norm())

    def _moved(self, bound: Bound, x: Tensor, level: float) -> Tensor:
        """How the images of states move with their level, by two evaluations within the model's range."""
        model = self.problem.model
        high = min(level * float(np.exp(NEAR / 2)), model.sigma_max)
        low = max(level * float(np.exp(-NEAR / 2)), model.sigma_min)
        with torch.no_grad():
            return (bound(x, high) - bound(x, low)) / (high - low)

    def _chunks(self) -> list[tuple[Tensor, Tensor]]:
        """Sample numbers and latents, so few that their states can be kept."""
        size = max(1, min(CHUNK, ROOM // int(np.prod(self.problem.model.event))))
        return [
            pair
            for ids, x in self.problem.batches
            for pair in zip(ids.split(size), x.split(size), strict=True)
        ]


def _planned(sampler: Sampler, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The sampler's own table on these levels and a last one of 0, with slopes by the levels."""
    return _Plan.apply(levels, lambda sigma: arrays_of(tabulate(sampler, Grid((*sigma, 0.0)))))  # type: ignore[return-value]


class _Plan(torch.autograd.Function):
    """A table as a function of the levels; its slopes are central differences in log sigma."""

    @staticmethod
    def forward(
        ctx: Any, levels: Tensor, table: Callable[[list[float]], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        sigma = levels.tolist()
        ctx.sigma, ctx.table = sigma, table
        return table(sigma)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        found = [0.0]  # the first level is the model's
        for k in range(1, len(ctx.sigma)):
            ends = []
            for sign in (1, -1):
                moved = list(ctx.sigma)
                moved[k] *= float(np.exp(sign * _SHIFT))
                ends.append(ctx.table(moved))
            found.append(
                sum(
                    float((slope * (up - down)).sum())
                    for slope, up, down in zip(slopes, *ends, strict=True)
                )
                / (2 * _SHIFT * ctx.sigma[k])
            )
        return torch.tensor(found, dtype=torch.float64), None
