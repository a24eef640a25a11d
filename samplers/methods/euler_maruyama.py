"""Euler-Maruyama on the reverse-time SDE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..families.linear import LinearMultistep, LinearRow, jump
from ..grid import Grid
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class EulerMaruyama(LinearMultistep):
    """dx = 2 (x - d) / sigma dsigma + sqrt(2 sigma |dsigma|) dw, one explicit step per interval in
    the time variable ``clock``.

    With v = d(sigma²)/dtau at the start of the step and dtau the length of the step,
    x <- x - v dtau (x - d) / cur² + sqrt(v dtau) z. v dtau depends on the clock:
    "sigma": 2 cur (cur - nxt); "lam": 2 cur² h with h = log(cur / nxt), the VE SDE's own time;
    "variance": cur² - nxt². The step to 0 is x <- d, without noise.

    Attributes:
        clock: the time variable in which the step is explicit.
    """

    name = "euler_maruyama"
    order = 1
    stochastic = True
    strong_order = 1.0
    source = Source(
        "song2021sde",
        "section 4.1",
        "https://arxiv.org/abs/2011.13456v2",
        deviations=(
            "the clock is an option, since canonical coordinates have no native time",
            "the last step to 0 adds no noise",
        ),
    )
    clock: Literal["sigma", "lam", "variance"] = "sigma"

    def __post_init__(self) -> None:
        if self.clock not in ("sigma", "lam", "variance"):
            raise ValueError(
                f"euler_maruyama: clock must be 'sigma', 'lam' or 'variance', got {self.clock!r}"
            )

    def _variance(self, cur: float, nxt: float) -> float:
        if self.clock == "sigma":
            return 2 * cur * (cur - nxt)
        if self.clock == "lam":
            return 2 * cur**2 * math.log(cur / nxt)
        return cur**2 - nxt**2

    def plan(self, grid: Grid) -> list[LinearRow]:
        """The weight of the state is 1 - v dtau / cur²."""
        rows = []
        for cur, nxt in grid.intervals():
            if nxt == 0:
                rows.append(jump(cur))
                continue
            variance = self._variance(cur, nxt)
            a = 1 - variance / cur**2
            rows.append(LinearRow(cur, a=a, b=(1 - a,), c=math.sqrt(variance)))
        return rows
