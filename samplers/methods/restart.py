"""Restart: noise takes the state back up to a higher level, and Heun's method down again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ..families.stages import StagesRow
from ..grid import Grid
from ..registry import register
from ..schedules import karras
from ..types import Denoise, Source, StepNoise
from .edm import Heun

Interval = tuple[int, int, float, float, float]


class Cycle(NamedTuple):
    """Restart cycle: adding noise of standard deviation ``noise``, then the steps ``rows``."""

    noise: float
    rows: tuple[StagesRow, ...]


class RestartRow(NamedTuple):
    """Coefficients of one step ``main`` along the grid, and the restart ``cycles`` at its end."""

    main: StagesRow
    cycles: tuple[Cycle, ...]


@register
@dataclass(frozen=True, kw_only=True)
class Restart(Heun):
    """Heun's method with restarts: at t_min noise leads up to t_max, then Heun steps lead down.

    An interval (n, K, t_min, t_max, s_noise) has K restarts. The noise has standard deviation
    s_noise sqrt(t_max² - low²), where low is the level nearest to t_min, of the grid's positive
    levels after the first. The way back has n levels, that is n - 1 steps, uniform in sigma^(1/7).
    t_max is cut off at the grid's first level. If then t_max <= low, the interval is left out, so
    any intervals can be used on any grid. Evaluations: Heun's, and 2 (n - 1) K for each interval.

    Attributes:
        intervals: each (n >= 2, K >= 0, t_min, t_max, s_noise = 1), where t_min and t_max are
            levels, 0 < t_min < t_max. The default is one of the paper's for CIFAR-10. Between its
            levels, 0.06 and 0.30, images in [-1, 1] with a standard deviation of 0.5 get their
            details. Scale the levels with the data.
    """

    name = "restart"
    source = Source(
        "xu2023restart",
        "Alg. 1 and 2",
        "https://arxiv.org/abs/2306.14878v2",
        deviations=(
            "an interval is cut off at the grid's first level, and left out where the "
            "grid has no level below its t_max",
            "several intervals whose t_min is nearest to one level are all run, in their "
            "order; the authors' code runs the last",
            "without the extra churn within intervals that the authors' code has by "
            "default (restart_gamma = 0.05)",
            "of no order with restarts: the number of steps of the way back does not grow with N",
        ),
    )
    intervals: tuple[Interval, ...] = ((3, 2, 0.06, 0.30, 1.0),)

    def __post_init__(self) -> None:
        checked = tuple(_checked_interval(item) for item in self.intervals)
        object.__setattr__(self, "intervals", checked)

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return any(times for _, times, *_ in self.intervals)

    @property
    def order(self) -> int | None:  # type: ignore[override]
        return None if self.stochastic else 2

    def plan(self, grid: Grid) -> list[RestartRow]:  # type: ignore[override]
        """Return the coefficients of each Heun step, with the restart cycles at its end."""
        cycles: dict[float, tuple[Cycle, ...]] = {}
        ends = grid.positive[1:]
        for count, times, t_min, t_max, s_noise in self.intervals:
            low = min(ends, key=lambda level: abs(level - t_min), default=math.inf)
            high = min(t_max, grid.sigma[0])
            if high > low:
                back = karras(count - 1, low, high, to_zero=False)
                rows = tuple(self.row(cur, nxt) for cur, nxt in back.intervals())
                cycle = Cycle(s_noise * math.sqrt(high**2 - low**2), rows)
                cycles[low] = cycles.get(low, ()) + (cycle,) * times
        steps = grid.intervals()
        return [RestartRow(self.row(cur, nxt), cycles.get(nxt, ())) for cur, nxt in steps]

    def nfe(self, grid: Grid) -> int:
        return sum(
            len(row.stages)
            for step in self.plan(grid)
            for row in (step.main, *(r for cycle in step.cycles for r in cycle.rows))
        )

    def step(
        self, x: Tensor, row: RestartRow, past: tuple[()], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, None]:  # type: ignore[override]
        """Return the state after Heun's step and the row's cycles; cycle k, from 0, uses draw k."""
        x, _ = super().step(x, row.main, past, denoise, noise)
        for k, cycle in enumerate(row.cycles):
            x = x.add_(noise(k), alpha=cycle.noise)
            for back in cycle.rows:
                x, _ = super().step(x, back, past, denoise, noise)
        return x, None


def _checked_interval(value: object) -> Interval:
    """Return ``value`` as an interval, by default with s_noise = 1; ValueError if invalid."""
    values = tuple(value) if isinstance(value, (tuple, list)) else ()
    values = (*values, 1.0) if len(values) == 4 else values
    if len(values) == 5 and all(isinstance(v, (int, float)) and math.isfinite(v) for v in values):
        count, times, low, high, s_noise = values
        if count == int(count) >= 2 and times == int(times) >= 0 and 0 < low < high and s_noise > 0:
            return int(count), int(times), float(low), float(high), float(s_noise)
    raise ValueError(
        "restart: an interval is (n, K, t_min, t_max, s_noise) with n >= 2 levels, K >= "
        "0 restarts, 0 < t_min < t_max and s_noise > 0, "
        f"got {value!r}"
    )
