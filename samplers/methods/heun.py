"""Heun's method, deterministic and with churn: the two samplers of EDM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..grid import Grid
from ..registry import register
from ..stages import Evaluate, LinearStages, StagesRow
from ..types import Source

_EDM = "https://arxiv.org/abs/2206.00364v2"


@register
@dataclass(frozen=True, kw_only=True)
class Heun(LinearStages):
    """An Euler step, then the average of the slopes (x - d) / sigma at both ends. Two evaluations a step, one in the step to 0."""

    name = "heun"
    order = 2
    source = Source("karras2022edm", "Alg. 1", _EDM)

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """The state x + (nxt - cur) (slope(x, cur) + slope(x_pred, nxt)) / 2."""
        slope = (x - denoise(x, cur)) / cur
        x_pred = x + (nxt - cur) * slope
        slope_next = (x_pred - denoise(x_pred, nxt)) / nxt
        return x + (nxt - cur) * (slope + slope_next) / 2


@register
@dataclass(frozen=True, kw_only=True)
class EDMStochastic(Heun):
    """Add noise up to sigma_hat = (1 + gamma) sigma, then a Heun step down from there.

    gamma = min(churn / N, sqrt(2) - 1) for levels in [s_min, s_max], else 0; the noise added has standard deviation
    s_noise sqrt(sigma_hat² - sigma²). The defaults are the paper's for ImageNet-64. Deterministic, and equal to Heun, at churn = 0.

    Attributes:
        churn: S_churn >= 0, total amount of noise.
        s_min, s_max: levels between which noise is added.
        s_noise: inflation of the noise; with a value other than 1 the method converges to a slightly wrong distribution.
    """

    name = "edm_stochastic"
    order = None
    source = Source("karras2022edm", "Alg. 2, Table 5", _EDM)
    churn: float = 40.0
    s_min: float = 0.05
    s_max: float = 50.0
    s_noise: float = 1.003

    def __post_init__(self) -> None:
        if self.churn < 0 or self.s_noise < 0 or not 0 <= self.s_min <= self.s_max:
            raise ValueError(f"edm_stochastic: need churn >= 0, s_noise >= 0 and 0 <= s_min <= s_max, got {self}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether noise is drawn: churn > 0 and s_noise > 0."""
        return self.churn > 0 and self.s_noise > 0

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Heun rows that start at sigma_hat."""
        most = min(self.churn / len(grid), math.sqrt(2) - 1)
        rows = []
        for cur, nxt in grid.intervals():
            hat = cur * (1 + (most if self.s_min <= cur <= self.s_max else 0.0))
            rows.append(self.row(hat, nxt, before=self.s_noise * math.sqrt(hat**2 - cur**2)))
        return rows
