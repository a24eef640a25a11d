"""Gradients through a whole run of a sampler: of the error on a problem, by levels and coefficients.

A linear method of one evaluation a step is a table (:mod:`samplerbench.samplers.families.tabulated`),
and a run of it is differentiated by the model's own backward pass. Where the sampler is to stay what
it is, its table follows from the levels; that map costs no evaluation, and its slopes are central
differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....samplers import Grid, Sampler
from ....samplers.families.tabulated import Table, TableRow, tabulate
from ...planning.tuned.spacing import LEAST, Spacing
from .problem import TuningProblem

What = Literal["levels", "coefficients", "both"]
"""What a gradient is taken by: levels of a sampler that stays what it is, the coefficients of its
table on fixed levels, or both freely.
"""

BACKWARD = 2
"""Evaluations that the backward pass of one is counted as: it multiplies twice where the forward
pass does once, by the weights and by what came in.
"""

CHUNK = 96
"""Latents whose states are kept for a backward pass at a time, of models with few dimensions."""
ROOM = 2**15
"""Numbers of one state that they have together at most, where there are more dimensions."""

_GAIN = 0.1  # of a free number, in the weight of the state: what it multiplies is mostly noise
_SHIFT = 1e-5  # of log sigma, for the slopes of a table
_TINY = 1e-18  # of a squared distance, so that its root has a slope at 0


@dataclass(eq=False)
class Unrolled:
    """The logarithm of a mean distance as a function of free numbers, with its gradient.

    The numbers are 0 at the start, and are what follows in this order, as far as it is free:

        gain_i      the weight of the state is (1 + 0.1 gain_i) times that at the start
        weight_ij   of the image denoised in step j < i, added to that at the start
        gap_i       of the levels, as :class:`.Spacing` has them, added to those at the start

    The newest weight makes up for the others, so that the sum of a row stays what it was: moving the
    data moves the samples.

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
    what: What
    calls: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        model, n = self.problem.model, len(self.start)
        self._table = tabulate(self.sampler, self.start)
        self._a, self._w = _arrays(self._table)
        self._lower = torch.tril_indices(n, n, -1)
        # a single step is the jump: it has no levels
        self._spacing = Spacing(n, model.sigma_min, model.sigma_max) if self._levels_free else None
        self._z = self._spacing.numbers(self.start) if self._spacing else np.zeros(0)

    @property
    def size(self) -> int:
        """How many numbers are free."""
        n = len(self.start)
        table = 0 if self.what == "levels" else n + n * (n - 1) // 2
        return table + len(self._z)

    def grid(self, z: NDArray[np.float64]) -> Grid:
        """The levels at ``z`` ``(size,)``."""
        if self._spacing is None or not z[-len(self._z) :].any():
            return self.start
        return self._spacing.grid(self._z + z[-len(self._z) :])

    def table(self, z: NDArray[np.float64]) -> Table | None:
        """The coefficients at ``z``; None where they are the sampler's own."""
        if self.what == "levels":
            return None
        a, w = self._coefficients(torch.from_numpy(np.asarray(z, float)))
        return tuple(
            TableRow(float(a[i]), tuple(w[i, : i + 1].flip(0).tolist())) for i in range(len(a))
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

    @property
    def _levels_free(self) -> bool:
        return self.what != "coefficients" and len(self.start) > 1

    def _run(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Levels ``(n,)``, and the table ``(n,)``, ``(n, n)`` with column j for the image of step j."""
        if self._spacing is None:
            levels = torch.tensor(self.start.sigma[:-1], dtype=torch.float64) + 0 * free.sum()
        else:
            gaps = torch.from_numpy(self._z) + free[-len(self._z) :]
            levels = levels_of(self._spacing, gaps)
        if self.what != "levels":
            return levels, *self._coefficients(free)
        return levels, *_planned(self.sampler, levels)

    def _coefficients(self, free: Tensor) -> tuple[Tensor, Tensor]:
        n, (rows, columns) = len(self._a), self._lower
        a = self._a * (1 + _GAIN * free[:n])
        moved = torch.zeros(n, n, dtype=torch.float64).index_put(
            (rows, columns), free[n : n + len(rows)]
        )
        older = (self._w + moved).tril(-1)
        newest = self._a + self._w.sum(1) - a - older.sum(1)
        return a, older + torch.diag(newest)

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
        problem, images = self.problem, []
        bound, before = problem.model.bind(ids, problem.seed), problem.meter.rows
        for i in range(len(a)):
            images.append(bound(x, levels[i].to(x.device)))
            weights = w[i].to(x.device, x.dtype)
            x = a[i].to(x.device, x.dtype) * x
            for j, image in enumerate(images):
                x = x + weights[j] * image
        problem.meter.rows += BACKWARD * (problem.meter.rows - before)
        return x

    def _chunks(self) -> list[tuple[Tensor, Tensor]]:
        """Sample numbers and latents, so few that their states can be kept."""
        size = max(1, min(CHUNK, ROOM // int(np.prod(self.problem.model.event))))
        return [
            pair
            for ids, x in self.problem.batches
            for pair in zip(ids.split(size), x.split(size), strict=True)
        ]


def levels_of(spacing: Spacing, z: Tensor) -> Tensor:
    """The positive levels ``(steps,)`` of :meth:`.Spacing.grid`, as a function that has slopes."""
    gaps = LEAST + (1 - spacing.steps * LEAST) * z.softmax(0)
    falls = torch.exp(-spacing.width * gaps.cumsum(0)[:-1])
    return spacing.sigma_max * torch.cat([falls.new_ones(1), falls])


def _arrays(table: Table) -> tuple[Tensor, Tensor]:
    """A table as ``(n,)`` weights of the state and ``(n, n)`` of the denoised images by their step."""
    n = len(table)
    a = torch.tensor([row.a for row in table], dtype=torch.float64)
    w = torch.zeros(n, n, dtype=torch.float64)
    for i, row in enumerate(table):
        w[i, : i + 1] = torch.tensor(row.b[::-1], dtype=torch.float64)
    return a, w


def _planned(sampler: Sampler, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The sampler's own table on these levels and a last one of 0, with slopes by the levels."""
    return _Plan.apply(levels, lambda sigma: _arrays(tabulate(sampler, Grid((*sigma, 0.0)))))  # type: ignore[return-value]


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
