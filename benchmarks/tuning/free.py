"""Levels and coefficients of a sampler as functions of free numbers, the parameters to tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import Table, TableRow, Tabulated, tabulate
from ..planning.tuned_schedule import LEAST, Spacing

FreeKind = Literal["levels", "coefficients", "both"]
"""Numbers to tune: levels of an unchanged sampler, coefficients on fixed levels, or both."""

_GAIN = 0.1  # factor of a free number in the weight of the state, which is mostly noise


@dataclass(eq=False)
class FreeParameters:
    """Sampler and its grid as functions of free numbers, which are 0 at the start.

    The numbers have this order, without numbers of a kind that is not tuned:

        gain_i      the weight of the state is (1 + 0.1 gain_i) times the one at the start
        weight_ij   added, in step i, to the starting weight of the image denoised in step j < i
        gap_i       added to the starting number of a gap between levels (:class:`.Spacing`)

    The newest weight compensates for changes of the others, so that a row keeps its sum. So shifted
    data give shifted samples. A first step without an evaluation has no such weight: its weight of
    the state follows from the level where the step ends.

    The sampler is deterministic and on a fixed grid, whose levels are ``start``. If coefficients are free, it makes one
    evaluation a step. ``older`` limits the free weights of a row to so many images before the newest; None frees all.
    """

    sampler: Sampler
    start: Grid
    sigma_min: float
    sigma_max: float
    what: FreeKind
    older: int | None = None

    def __post_init__(self) -> None:
        n = len(self.start)
        self.skipped = 0  # number of first steps without an evaluation
        rows, columns = torch.tril_indices(n, n, -1)
        if self.what != "levels":
            table = tabulate(self.sampler, self.start)
            self._a, self._w = arrays_of(table)
            self.skipped = int(not table[0].b)
        older = n if self.older is None else self.older
        free = (columns >= self.skipped) & (rows - columns <= older)
        self._lower = (rows[free], columns[free])
        # a single step has no inner levels
        self._spacing = Spacing(n, self.sigma_min, self.sigma_max) if self.has_free_levels else None
        self._z = self._spacing.free_numbers(self.start) if self._spacing else np.zeros(0)

    @property
    def has_free_levels(self) -> bool:
        """True if there are levels to move."""
        return self.what != "coefficients" and len(self.start) > 1

    @property
    def size(self) -> int:
        """Number of free numbers."""
        table = 0 if self.what == "levels" else len(self.start) + len(self._lower[0])
        return table + len(self._z)

    def grid(self, z: NDArray[np.float64]) -> Grid:
        """Return the grid at the free numbers ``z`` ``(size,)``."""
        if self._spacing is None or not z[-len(self._z) :].any():
            return self.start
        return self._spacing.grid(self._z + z[-len(self._z) :])

    def table(self, z: NDArray[np.float64]) -> Table | None:
        """Return the coefficients at ``z`` ``(size,)``; None if the sampler keeps its own."""
        if self.what == "levels":
            return None
        _, a, w = self.tensors(torch.from_numpy(np.asarray(z, float)))
        return tuple(
            TableRow(float(a[i]), tuple(w[i, self.skipped : i + 1].flip(0).tolist()))
            for i in range(len(a))
        )

    def sampler_at(self, z: NDArray[np.float64]) -> Sampler:
        """Return the sampler at ``z`` ``(size,)``, to run on the :meth:`grid` at ``z``."""
        table, own = self.table(z), self.sampler
        if table is None:
            return own
        stands_for = own.stands_for if isinstance(own, Tabulated) else own
        return Tabulated(stands_for=stands_for, table=table)

    def levels(self, free: Tensor) -> Tensor:
        """Return the positive levels ``(n,)`` at the free numbers, differentiable."""
        if self._spacing is None:
            return torch.tensor(self.start.sigma[:-1], dtype=torch.float64) + 0 * free.sum()
        return levels_from_numbers(self._spacing, torch.from_numpy(self._z) + free[-len(self._z) :])

    def tensors(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return levels ``(n,)``, weights of state ``(n,)`` and images ``(n, n)``, for autograd."""
        levels = self.levels(free)
        n, (rows, columns) = len(self._a), self._lower
        a = self._a * (1 + _GAIN * free[:n])
        if self.skipped:
            follows = torch.ones_like(a)
            follows[0] = self.start.sigma[1] / self.start.sigma[0]
            moved = torch.cat([levels[1:2] / levels[0], torch.ones_like(levels[1:])])
            a = a * moved / follows
        weights = free[n : n + len(rows)]
        moved = torch.zeros(n, n, dtype=torch.float64).index_put((rows, columns), weights)
        older = (self._w + moved).tril(-1)
        newest = self._a + self._w.sum(1) - a - older.sum(1)
        evaluated = torch.arange(n) >= self.skipped
        return levels, a, older + torch.diag(newest * evaluated)


def project_grid(grid: Grid, sigma_min: float, sigma_max: float) -> Grid:
    """Return the nearest grid with valid gaps and its last positive level above sigma_min."""
    spacing = Spacing(len(grid), sigma_min, sigma_max)
    return spacing.grid(spacing.free_numbers(grid))


def levels_from_numbers(spacing: Spacing, z: Tensor) -> Tensor:
    """Return the positive levels ``(steps,)`` of :meth:`.Spacing.grid`, differentiable by ``z``."""
    gaps = LEAST + (1 - spacing.steps * LEAST) * z.softmax(0)
    falls = torch.exp(-spacing.width * gaps.cumsum(0)[:-1])
    return spacing.sigma_max * torch.cat([falls.new_ones(1), falls])


def arrays_of(table: Table) -> tuple[Tensor, Tensor]:
    """Return the weights in a table as arrays: ``(n,)`` of the state, ``(n, n)`` of the images."""
    n = len(table)
    a = torch.tensor([row.a for row in table], dtype=torch.float64)
    w = torch.zeros(n, n, dtype=torch.float64)
    for i, row in enumerate(table):
        w[i, i + 1 - len(row.b) : i + 1] = torch.tensor(row.b[::-1], dtype=torch.float64)
    return a, w
