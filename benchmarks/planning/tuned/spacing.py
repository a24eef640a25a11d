"""Grids as free numbers: the levels fall strictly for any numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....samplers import Grid

LEAST = 1e-3
"""Smallest gap between two levels, as a share of the range in log sigma: 1 % from 80 to 0.002."""

MOST_STEPS = round(0.5 / LEAST)
"""Most steps of a tuned grid, at which smallest gaps fill half of the range."""


@dataclass(frozen=True)
class Spacing:
    """Grids of ``steps`` steps from sigma_max to 0, with the other levels anywhere above sigma_min.

    N numbers give N gaps in lam = -log sigma by a softmax, which fill the range from sigma_max to
    sigma_min; the last one lies below the last positive level. (A common constant changes nothing,
    so N - 1 of them are free, as many as there are levels.)

        gap_i = LEAST + (1 - N LEAST) exp(z_i) / sum_j exp(z_j),     lam_i = lam_0 + (lam_end - lam_0) (gap_1 + ... + gap_i)

    Attributes:
        steps: N, 2 … :data:`MOST_STEPS`.
        sigma_min, sigma_max: the model's range.
    """

    steps: int
    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= MOST_STEPS:
            raise ValueError(
                f"a grid of {self.steps} steps cannot be tuned; give between "
                f"2 and {MOST_STEPS} steps"
            )

    def grid(self, z: ArrayLike) -> Grid:
        """Return the grid of ``z`` ``(steps,)``."""
        from scipy.special import softmax  # here: few runs have a use for it

        gaps = LEAST + (1 - self.steps * LEAST) * softmax(np.asarray(z, float))
        falls = np.exp(-self.width * np.cumsum(gaps)[:-1])
        return Grid((self.sigma_max, *(self.sigma_max * falls).tolist(), 0.0))

    def numbers(self, grid: Grid) -> NDArray[np.float64]:
        """Return ``(steps,)`` numbers of a grid to 0, or of the nearest grid without gaps below
        twice :data:`LEAST`.

        Raises:
            ValueError: another number of steps or other ends.
        """
        if len(grid) != self.steps or grid.sigma[0] != self.sigma_max or not grid.to_zero:
            raise ValueError(
                f"a grid of {len(grid)} steps from {grid.sigma[0]:g} to "
                f"{grid.sigma[-1]:g} has no place here"
            )
        lam = np.log(self.sigma_max / np.array([*grid.sigma[:-1], self.sigma_min])) / self.width
        gaps = np.maximum(np.diff(lam), 2 * LEAST)
        return np.log(gaps / gaps.sum() - LEAST)

    @property
    def width(self) -> float:
        """Range in log sigma."""
        return math.log(self.sigma_max / self.sigma_min)
