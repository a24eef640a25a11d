"""Churn: raise the noise level before each step of a deterministic method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..grid import Grid
from .stages import LinearStages, StagesRow

_CAP = math.sqrt(2) - 1
_MOST_ASYMPTOTIC = 16 * _CAP
"""Most churn with an order: with more, steps from sigma_hat do not shrink before N is large."""


@dataclass(frozen=True, kw_only=True)
class Churned(LinearStages):
    """Add noise up to sigma_hat = (1 + gamma) sigma, then one step of the method from sigma_hat
    down to the next level.

    gamma = min(churn / N, sqrt(2) - 1) for levels in [s_min, s_max], else 0; the noise added has
    standard deviation s_noise sqrt(sigma_hat² - sigma²). The step to 0 is churned like any other.
    The defaults are EDM's for ImageNet-64.

    With s_noise = 1, noise takes exact samples at sigma to exact samples at sigma_hat: the
    distribution has no error but the method's, and the weak order is the method's order.

    Attributes:
        churn: S_churn >= 0, total amount of noise; 0 is the deterministic method.
        s_min, s_max: levels between which noise is added.
        s_noise: inflation of the noise, > 0; with a value other than 1 the method converges to a
            slightly wrong distribution.

    Class attributes:
        solver_order: order of the deterministic method.
    """

    solver_order: ClassVar[int]
    churn: float = 40.0
    s_min: float = 0.05
    s_max: float = 50.0
    s_noise: float = 1.003

    def __post_init__(self) -> None:
        if self.churn < 0 or self.s_noise < 0 or not 0 <= self.s_min <= self.s_max:
            raise ValueError(
                f"{self.name}: need churn >= 0, s_noise > 0 and 0 <= s_min <= s_max, got {self}"
            )
        if self.churn > 0 and self.s_noise == 0:
            raise ValueError(
                f"{self.name}: s_noise = 0 raises the level without its "
                "noise; set churn = 0 for the deterministic method"
            )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Return True if noise is drawn: churn > 0."""
        return self.churn > 0

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """The method's without churn, and with s_noise = 1 if there is so little churn that 16
        steps show the order; None otherwise.
        """
        return (
            self.solver_order
            if not self.churn or (self.s_noise == 1 and self.churn <= _MOST_ASYMPTOTIC)
            else None
        )

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Rows that start at sigma_hat."""
        most = min(self.churn / len(grid), _CAP)
        rows = []
        for cur, nxt in grid.intervals():
            hat = cur * (1 + (most if self.s_min <= cur <= self.s_max else 0.0))
            rows.append(self.row(hat, nxt, before=self.s_noise * math.sqrt(hat**2 - cur**2)))
        return rows
