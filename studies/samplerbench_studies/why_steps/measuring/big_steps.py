"""Measurements of row 3: loss of ancestral sampling by big steps, in nats and in quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from samplerbench.benchmarks import make_schedule
from samplerbench.models import MMSECurve, exact_mmse, gammas
from samplerbench.models.exact import ExactModel
from samplerbench.samplers import Grid
from samplerbench.samplers.schedules import cheapest_path, staircase_costs

from ...analysis.path_kl import path_kl
from ..statistics.intervals import Interval
from ..statistics.single_steps import DRAWS, FAST_RATIOS, RATIOS, Transition, transitions
from .effort import Effort
from .generating import SAMPLES, DistanceToData, generate

HIGH, LOW = 80.0, 0.05
"""Levels between which the steps of a grid are compared.

A last step goes from LOW to 0. Its divergence would be infinite for any grid.
"""
GRIDS = {
    "karras": "karras",
    "uniform in log σ": "uniform_lambda",
    "cosine": "uniform_time(process='vp_cosine')",
}
OPTIMAL = "optimal"
FINE = 256
"""Number of geometric steps of the fine grid from which the optimal grid is chosen."""
COUNTS, FAST_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128), (1, 4, 16, 64)
MEASURED, FAST_MEASURED = (1, 2, 4, 8, 16, 32, 64, 128), (1, 4, 16)
"""Numbers of steps whose samples are drawn and compared with data."""


class Losses(NamedTuple):
    """Losses of N steps of one grid.

    Attributes:
        steps: number of steps N between :data:`HIGH` and :data:`LOW`.
        nats: path divergence of ancestral sampling from the true reverse process.
        quality: Fréchet distance of the samples, after the last step to 0, to the data; None if not
            measured.
    """

    steps: int
    nats: Interval
    quality: Interval | None


class BigStepsResult(NamedTuple):
    """Measurements of row 3.

    Attributes:
        curve: MMSE curve of ``fashion-mppca`` between the levels.
        losses: losses by grid, for rising numbers of steps.
        single: losses of single steps of rising size, by model.
        flags: reasons against trusting the Fréchet distances' intervals.
    """

    curve: MMSECurve
    losses: dict[str, list[Losses]]
    single: dict[str, list[Transition]]
    flags: list[str]


def measure(effort: Effort) -> BigStepsResult:
    """Measure row 3.

    Path divergences come from the MMSE curve, losses of single steps from exact densities, and
    quality from samples of ``ddpm``.
    """
    fast = effort.fast
    model = cast(ExactModel, effort.model("fashion-mppca"))
    curve = tabulated(model, effort.samples(512, 96), 49 if fast else 97)
    n = effort.samples(SAMPLES, 192)
    drawn, to_data = dict.fromkeys(FAST_MEASURED if fast else MEASURED, n), DistanceToData(model, n)
    found = losses(model, curve, FAST_COUNTS if fast else COUNTS, drawn, to_data)
    single = {
        name: transitions(
            cast(ExactModel, effort.model(name)),
            FAST_RATIOS if fast else RATIOS,
            few if fast else many,
        )
        for name, (many, few) in DRAWS.items()
    }
    return BigStepsResult(curve, found, single, to_data.flags)


def tabulated(model: ExactModel, samples: int, nodes: int) -> MMSECurve:
    """Return the MMSE curve of ``samples`` draws at ``nodes`` levels from LOW to HIGH."""
    return exact_mmse(model, gammas(LOW, HIGH, nodes), samples)


def levels(grid: str, steps: int) -> tuple[float, ...]:
    """Return the ``steps`` + 1 levels of one of :data:`GRIDS`, from HIGH to LOW."""
    return make_schedule(GRIDS[grid])(steps, LOW, HIGH, to_zero=False).sigma


class Best:
    """Grids that minimise the divergence, by dynamic programming over fine levels.

    Args:
        curve: MMSE curve of :func:`tabulated`.
    """

    def __init__(self, curve: MMSECurve) -> None:
        gamma = gammas(LOW, HIGH, FINE + 1)
        mean = MMSECurve(curve.gamma, curve.falling_mean()[None])
        integral = np.array([0.0, *mean.integral(gamma[0], gamma[1:])[0]])
        self.levels = (HIGH, *(gamma[1:-1] ** -0.5).tolist(), LOW)
        self.cost = staircase_costs(self.levels, np.minimum.accumulate(mean.at(gamma)[0]), integral)

    def __call__(self, steps: int) -> tuple[float, ...]:
        """Return the ``steps`` + 1 levels of the best grid."""
        return tuple(self.levels[i] for i in cheapest_path(self.cost, steps, 1.0))


def losses(
    model: ExactModel,
    curve: MMSECurve,
    counts: Sequence[int],
    samples: Mapping[int, int],
    to_data: DistanceToData,
) -> dict[str, list[Losses]]:
    """Return the losses of every grid, for each of ``counts``.

    Args:
        model: model of the curve.
        curve: MMSE curve of :func:`tabulated`.
        counts: numbers of steps N.
        samples: numbers of samples by N; without an entry, quality is not measured.
        to_data: distance by which quality is measured.
    """
    best = Best(curve)

    def one(grid: str, steps: int) -> Losses:
        at = best(steps) if grid == OPTIMAL else levels(grid, steps)
        nats, quality = path_kl(curve, at), None
        if steps in samples:
            found = to_data(generate(model, "ddpm", Grid((*at, 0.0)), samples[steps]))
            quality = Interval.normal(found.value, found.se)
        return Losses(steps, Interval.of(nats), quality)

    return {grid: [one(grid, steps) for steps in counts] for grid in (*GRIDS, OPTIMAL)}
