"""Levels and coefficients of a sampler as functions of free numbers, the parameters to tune."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import (
    Table,
    TableRow,
    Tabulated,
    apply_dynamic_compensation,
    correction_weights,
    tabulate,
)
from ..planning.tuned_schedule import LEAST, Spacing

FreeKind = Literal["levels", "coefficients", "both", "ratios"]
"""Numbers to tune: "levels" of an unchanged sampler; on fixed levels "coefficients" or "ratios" (of
dynamic compensation); or "both", levels and coefficients."""

MOST_MOVED = 5.0
"""Largest absolute logarithm of the ratio of the network's level to the grid's."""
_GAIN = 0.1  # factor of a free number in the weight of the state, which is mostly noise


@dataclass(eq=False)
class FreeParameters:
    """Sampler and its grid as functions of free numbers, which are 0 at the start.

    The numbers have this order, without numbers of a kind that is not tuned:

        gain_i      the weight of the state is (1 + 0.1 gain_i) times its starting weight
        weight_ij   added, in step i, to the starting weight of the image denoised in step j < i
        sum_i       added to the newest weight of a row, with ``free_sums``
        gap_i       added to the starting number of a gap between levels (:class:`.Spacing`)
        level_i     added to the logarithm of the level that the network is given, with ``network_levels``
        ratio_i     added to 1, the ratio of step i >= 2 in -log(sigma) (:func:`.apply_dynamic_compensation`)

    Without ``free_sums`` the newest weight compensates for changes of the other weights, so each row keeps its
    sum, and shifted data give shifted samples. A first step without an evaluation has no weights of images. So
    its weight of the state follows from the level where the step ends.

    The sampler is deterministic, and ``start`` is its fixed grid. If coefficients or the network's levels are
    free, it makes one evaluation a step. In each row, the weights of ``older`` images before the newest are
    free; if ``older`` is None, the weights of all.
    """

    sampler: Sampler
    start: Grid
    sigma_min: float
    sigma_max: float
    what: FreeKind
    older: int | None = None
    free_sums: bool = False
    network_levels: bool = False

    def __post_init__(self) -> None:
        n, given = len(self.start), self.sampler
        self._method = given.stands_for if isinstance(given, Tabulated) else given
        self.skipped = 0  # number of first steps without an evaluation
        stored_rows = given.table if isinstance(given, Tabulated) else ()
        self._moved = np.zeros(n)  # logarithms of the network's levels over the grid's
        if any(row.level for row in stored_rows):
            pairs = zip(stored_rows, self.start.sigma, strict=False)
            self._moved = np.log([(row.level or sigma) / sigma for row, sigma in pairs])
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
        sizes = {"gains": n, "weights": len(self._lower[0]), "sums": n * self.free_sums}
        weigh = self.what in ("coefficients", "both")
        sizes = {name: size * weigh for name, size in sizes.items()}
        sizes |= {"gaps": len(self._z), "levels": n * self.network_levels}
        sizes |= {"ratios": (n - 2) * (self.what == "ratios")}
        ends = np.cumsum(list(sizes.values())).tolist()
        self.size = ends[-1]
        self._part = {
            name: slice(end - size, end)
            for (name, size), end in zip(sizes.items(), ends, strict=True)
        }

    @property
    def has_free_levels(self) -> bool:
        """True if there are levels to move."""
        return self.what in ("levels", "both") and len(self.start) > 1

    def grid(self, z: NDArray[np.float64]) -> Grid:
        """Return the grid at the free numbers ``z`` ``(size,)``."""
        gaps = z[self._part["gaps"]]
        if self._spacing is None or not gaps.any():
            return self.start
        return self._spacing.grid(self._z + gaps)

    def network_levels_at(self, z: NDArray[np.float64]) -> list[float | None]:
        """Return the network's level in each step at ``z``; all None if levels are the grid's."""
        if not (self.network_levels or self._moved.any()):
            return [None] * len(self.start)
        moved = self._moved + (z[self._part["levels"]] if self.network_levels else 0.0)
        levels = np.array(self.grid(z).sigma[:-1]) * np.exp(np.clip(moved, -MOST_MOVED, MOST_MOVED))
        return np.clip(levels, self.sigma_min, self.sigma_max).tolist()

    def table(self, z: NDArray[np.float64]) -> Table | None:
        """Return the coefficients at ``z`` ``(size,)``; None if the sampler keeps its own."""
        levels = self.network_levels_at(z)
        if self.what == "levels":
            if levels[0] is None:
                return None
            own = tabulate(self._method, self.grid(z))  # coefficients follow the grid
            return tuple(row._replace(level=s) for row, s in zip(own, levels, strict=True))
        if self.what == "ratios":
            corrections = correction_weights(self.sampler, self.start)
            times = (-np.log(self.start.sigma[:-1])).tolist()
            own = tabulate(self.sampler, self.start)
            return apply_dynamic_compensation(own, corrections, times, (1 + z).tolist())
        _, a, w = self.levels_and_weights(torch.from_numpy(np.asarray(z, float)))
        weights = (w[i, self.skipped : i + 1].flip(0).tolist() for i in range(len(a)))
        return tuple(
            TableRow(a_i, tuple(b_i), level)
            for a_i, b_i, level in zip(a.tolist(), weights, levels, strict=True)
        )

    def sampler_at(self, z: NDArray[np.float64]) -> Sampler:
        """Return the sampler at ``z`` ``(size,)``, to run on the :meth:`grid` at ``z``."""
        table = self.table(z)
        return self.sampler if table is None else Tabulated(stands_for=self._method, table=table)

    def levels(self, free: Tensor) -> Tensor:
        """Return the positive levels ``(n,)`` at the free numbers, differentiable."""
        if self._spacing is None:
            return torch.tensor(self.start.sigma[:-1], dtype=torch.float64) + 0 * free.sum()
        spacing, moved = self._spacing, torch.from_numpy(self._z) + free[self._part["gaps"]]
        # as Spacing.grid does, whose arrays have no slopes
        gaps = LEAST + (1 - spacing.steps * LEAST) * moved.softmax(0)
        falls = torch.exp(-spacing.width * gaps.cumsum(0)[:-1])
        return spacing.sigma_max * torch.cat([falls.new_ones(1), falls])

    def levels_and_weights(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return levels ``(n,)``, weights of state ``(n,)`` and images ``(n, n)``, for autograd."""
        levels = self.levels(free)
        n, (rows, columns) = len(self._a), self._lower
        a = self._a * (1 + _GAIN * free[self._part["gains"]])
        if self.skipped:
            follows = torch.ones_like(a)
            follows[0] = self.start.sigma[1] / self.start.sigma[0]
            moved = torch.cat([levels[1:2] / levels[0], torch.ones_like(levels[1:])])
            a = a * moved / follows
        weights = free[self._part["weights"]]
        moved = torch.zeros(n, n, dtype=torch.float64).index_put((rows, columns), weights)
        older = (self._w + moved).tril(-1)
        newest = self._a + self._w.sum(1) - a - older.sum(1)
        if self.free_sums:
            newest = newest + free[self._part["sums"]]
        evaluated = torch.arange(n) >= self.skipped
        return levels, a, older + torch.diag(newest * evaluated)


def project_grid(grid: Grid, sigma_min: float, sigma_max: float) -> Grid:
    """Return a grid with small gaps widened, and its last positive level above sigma_min."""
    spacing = Spacing(len(grid), sigma_min, sigma_max)
    return spacing.grid(spacing.free_numbers(grid))


def arrays_of(table: Table) -> tuple[Tensor, Tensor]:
    """Return a table's weights as tensors: ``(n,)`` of the state, lower triangular ``(n, n)``."""
    n = len(table)
    a = torch.tensor([row.a for row in table], dtype=torch.float64)
    w = torch.zeros(n, n, dtype=torch.float64)
    for i, row in enumerate(table):
        w[i, i + 1 - len(row.b) : i + 1] = torch.tensor(row.b[::-1], dtype=torch.float64)
    return a, w
