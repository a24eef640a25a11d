"""Heun's method, deterministic and with churn: the two samplers of EDM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..families.churn import Churned
from ..families.stages import Evaluate, LinearStages
from ..registry import register
from ..types import Source

_EDM = "https://arxiv.org/abs/2206.00364v2"


@register
@dataclass(frozen=True, kw_only=True)
class Heun(LinearStages):
    """An Euler step, then the average of the slopes (x - d) / sigma at both ends.

    Two evaluations a step, one in the step to 0.
    """

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
class EDMStochastic(Churned):
    """Churn, then a Heun step: see :class:`.Churned`."""

    name = "edm_stochastic"
    solver_order = 2
    source = Source("karras2022edm", "Alg. 2, Table 5", _EDM)

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state after a step of Heun's method."""
        return Heun().update(x, denoise, cur, nxt)
