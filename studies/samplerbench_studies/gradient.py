"""Gradients through a whole run of a sampler: by levels and coefficients, and by the initial noise.

A linear method of one evaluation a step is a table
(:mod:`samplerbench.samplers.families.tabulated`), and its run is differentiated by the model's own
backward pass. A model may have no gradient by the level, such as checkpoints, which map levels to
times in NumPy. Differences of two evaluations replace that gradient. If only the levels of a
sampler are free, its table is a function of the levels, differentiated by central differences
without evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.tuning import FreeKind, FreeParameters, TuningProblem, arrays_of
from samplerbench.models import Bound
from samplerbench.samplers import Grid, Sampler, tabulate

BACKWARD = 2
"""Cost of a backward pass in evaluations: for each product of the forward pass it has two."""

CHUNK = 96
"""Largest number of latents in one backward pass."""
ROOM = 2**15
"""Largest number of elements of the states in one backward pass."""

NEAR = 0.02
"""Difference in log sigma of the two levels in a finite difference by the level. It exceeds the
spacing of the levels of a process of 1000 times.
"""

_AGREE = 0.1  # relative difference of two slopes by a level that second order can make
_SHIFT = 1e-5  # of log sigma, for the slopes of a table
_TINY = 1e-18  # of a squared distance, so that its root has a slope at 0


@dataclass(eq=False)
class Unrolled:
    """Logarithm of a mean distance as a function of free parameters, with its gradient.

    The parameters are those of :class:`~samplerbench.benchmarks.tuning.FreeParameters`, 0 at the
    start.

    Attributes:
        problem: model, latents and endpoints.
        sampler: linear method that gives the initial table.
        start: initial levels.
        power: exponent of the power mean of distances, 0 for the geometric mean.
        what: kind of the free parameters, such as ``levels``.
        calls: number of gradients so far.
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
        """Return the logarithm of the error at ``z`` ``(size,)``, and its gradient.

        Samples that are not finite give an infinite error and a zero gradient.
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
        """Return levels ``(n,)`` and the table: weights of state ``(n,)`` and images ``(n, n)``."""
        if self.what != "levels":
            return self.free.levels_and_weights(free)
        levels = self.free.levels(free)
        return levels, *_planned(self.sampler, levels)

    def _mean(self, levels: Tensor, a: Tensor, w: Tensor) -> float:
        """Return the mean of the distances' power (logarithm for power 0), adding to ``grad`` of
        the arguments.
        """
        problem, total = self.problem, 0.0
        count = len(problem.ids)
        for part, x in _chunks(problem):
            ends = self._samples(part, x, levels, a, w)
            apart = (ends - problem.endpoints[part - problem.ids[0]]).double()
            squares = apart.square().flatten(1).mean(1) + _TINY
            powers = squares.log() / 2 if self.power == 0 else squares ** (self.power / 2)
            mean = powers.sum() / count
            mean.backward()
            total += float(mean.detach())
        return total

    def _samples(self, ids: Tensor, x: Tensor, levels: Tensor, a: Tensor, w: Tensor) -> Tensor:
        bound = self.problem.model.bind(ids, self.problem.seed)

        def image(i: int, x: Tensor) -> Tensor:
            return self._image(bound, x, levels[i], fixed=i == 0)

        return _run_table(image, x, a, w, self.free.skipped)

    def _image(self, bound: Bound, x: Tensor, level: Tensor, *, fixed: bool) -> Tensor:
        """Return the denoised images, differentiable by ``x`` and (unless ``fixed``) ``level``."""
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
        """True if the model's backward pass gives the correct derivative by the level."""
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
        """Return the derivative of the images by the level, from two evaluations in the model's
        range.
        """
        model = self.problem.model
        high = min(level * float(np.exp(NEAR / 2)), model.sigma_max)
        low = max(level * float(np.exp(-NEAR / 2)), model.sigma_min)
        with torch.no_grad():
            return (bound(x, high) - bound(x, low)) / (high - low)


def slopes_by_noise(problem: TuningProblem, sampler: Sampler, grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the squared distances of samples to their endpoints, and their slopes by the noise.

    Args:
        problem: model, initial noise and endpoints.
        sampler: linear method that makes one evaluation a step.
        grid: its levels.

    Returns:
        mean squares over dimensions ``(n,)``, float64, infinite if a sample is not finite; slopes
        ``(n, *event)`` by the state at sigma_max, 0 there.

    Raises:
        ValueError: the model has no backward pass, or the sampler no table of coefficients.
    """
    table, meter = tabulate(sampler, grid), problem.meter
    a, w = arrays_of(table)
    levels = [row.level or sigma for row, sigma in zip(table, grid.sigma, strict=False)]
    squares, slopes = [], []
    for ids, x in _chunks(problem):
        with torch.inference_mode(False), torch.enable_grad():
            start, before = x.clone().requires_grad_(), meter.rows
            image = partial(_backed_image, problem, problem.model.bind(ids, problem.seed), levels)
            end = _run_table(image, start, a, w, int(not table[0].b))
            apart = (end - problem.endpoints[ids - problem.ids[0]]).double()
            square = apart.square().flatten(1).mean(1)
            finite = square.isfinite()
            (slope,) = torch.autograd.grad(square[finite].sum(), start)
        meter.rows += BACKWARD * (meter.rows - before)
        squares.append(square.detach().nan_to_num(nan=torch.inf))
        slopes.append(slope.nan_to_num(0.0, 0.0, 0.0))
    return torch.cat(squares), torch.cat(slopes)


def _backed_image(
    problem: TuningProblem, bound: Bound, levels: list[float], i: int, x: Tensor
) -> Tensor:
    image = bound(x, levels[i])
    if not image.requires_grad:
        raise ValueError(
            f"model {problem.model.name} has no backward pass, which moving its initial noise "
            "needs; give radius 0, or a model that computes in PyTorch with gradients"
        )
    return image


def _run_table(
    image: Callable[[int, Tensor], Tensor], x: Tensor, a: Tensor, w: Tensor, skipped: int
) -> Tensor:
    """Return the samples of a table from states ``x``; ``image(i, x)`` evaluates step i.

    The first ``skipped`` steps have no evaluation.
    """
    images: list[Tensor] = []
    for i in range(len(a)):
        if i >= skipped:
            images.append(image(i, x))
        weights = w[i, skipped:].to(x.device, x.dtype)
        x = a[i].to(x.device, x.dtype) * x
        for weight, each in zip(weights, images, strict=False):
            x = x + weight * each
    return x


def _chunks(problem: TuningProblem) -> list[tuple[Tensor, Tensor]]:
    """Return ids and initial noise in chunks small enough to store their states."""
    size = max(1, min(CHUNK, ROOM // int(np.prod(problem.model.event))))
    return [
        pair
        for ids, x in problem.batches
        for pair in zip(ids.split(size), x.split(size), strict=True)
    ]


def _planned(sampler: Sampler, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sampler's own table on these levels and a last level 0, differentiable by
    levels.
    """
    return _Plan.apply(levels, lambda sigma: arrays_of(tabulate(sampler, Grid((*sigma, 0.0)))))  # type: ignore[return-value]


class _Plan(torch.autograd.Function):
    """Table as a function of the levels; gradients are central differences in log sigma."""

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
