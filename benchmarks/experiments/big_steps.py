"""Measurements of row 3: what ancestral sampling loses by taking big steps, in nats and in quality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...models.estimate import FloatArray
from ...models.exact.base import ExactModel
from ...models.exact.transition import transition_kl
from ...models.mmse import exact_mmse
from ...models.mmse_curve import Curve, gammas
from ...models.path_kl import path_kl
from ...samplers import Grid
from ...samplers.schedules.search import cheapest_path
from ...samplers.schedules.staircase import staircase_costs
from ..schedules import make_schedule
from .generating import Yardstick, generate
from .intervals import Interval

HIGH, LOW = 80.0, 0.05
"""The levels between which steps are taken; a last one goes from LOW to 0, whose divergence would be infinite for any grid."""
GRIDS = {"karras": "karras", "uniform in log σ": "uniform_lambda", "cosine": "uniform_time(process='vp_cosine')"}
OPTIMAL = "optimal"
FINE = 256
"""Geometric steps between which the optimal grid chooses."""


class Losses(NamedTuple):
    """What N steps of one grid lose.

    Attributes:
        steps: N, between :data:`HIGH` and :data:`LOW`.
        nats: path divergence of ancestral sampling from the true reverse process.
        quality: Fréchet distance of its samples, after the last step to 0, to the data; None where it was not measured.
    """

    steps: int
    nats: Interval
    quality: Interval | None


class Transition(NamedTuple):
    """What one step from sqrt(ratio) to 1 / sqrt(ratio) loses, in nats.

    Attributes:
        ratio: of its two levels.
        total: divergence of the exact reverse conditional from the isotropic Gaussian that is drawn from instead.
        shape: the part of it that no Gaussian could avoid.
    """

    ratio: float
    total: Interval
    shape: Interval

    @property
    def share(self) -> Interval:
        """``shape`` over the value of ``total``."""
        return Interval(*(end / self.total.value for end in self.shape))


def tabulated(model: ExactModel, samples: int, nodes: int) -> Curve:
    """The MMSE curve between the levels."""
    return exact_mmse(model, gammas(LOW, HIGH, nodes), samples)


def levels(grid: str, steps: int) -> tuple[float, ...]:
    """The N + 1 levels of one of :data:`GRIDS`."""
    return make_schedule(GRIDS[grid])(steps, LOW, HIGH, to_zero=False).sigma


class Best:
    """The grids that minimise the divergence, by dynamic programming over fine levels.

    Args:
        curve: from :func:`tabulated`.
    """

    def __init__(self, curve: Curve) -> None:
        gamma = gammas(LOW, HIGH, FINE + 1)
        mean = Curve(curve.gamma, curve.mean()[None])
        integral = np.array([0.0, *mean.integral(gamma[0], gamma[1:])[0]])
        self.levels = (HIGH, *(gamma[1:-1] ** -0.5).tolist(), LOW)
        self.cost = staircase_costs(self.levels, np.minimum.accumulate(mean.at(gamma)[0]), integral)

    def __call__(self, steps: int) -> tuple[float, ...]:
        """N + 1 levels."""
        return tuple(self.levels[i] for i in cheapest_path(self.cost, steps, 1.0))


def losses(model: ExactModel, curve: Curve, counts: Sequence[int], samples: Mapping[int, int], ruler: Yardstick) -> dict[str, list[Losses]]:
    """Nats and quality of every grid.

    Args:
        model: whose curve it is.
        curve: from :func:`tabulated`.
        counts: numbers of steps N.
        samples: how many to draw, by N; quality is not measured where there is no entry.
        ruler: what it is measured by.
    """
    best = Best(curve)

    def one(grid: str, steps: int) -> Losses:
        at = best(steps) if grid == OPTIMAL else levels(grid, steps)
        nats, quality = path_kl(curve, at), None
        if steps in samples:
            found = ruler(generate(model, "ddpm", Grid((*at, 0.0)), samples[steps]))
            quality = Interval.normal(found.value, found.se)
        return Losses(steps, Interval.of(nats), quality)

    return {grid: [one(grid, steps) for steps in counts] for grid in (*GRIDS, OPTIMAL)}


def transitions(model: ExactModel, ratios: Sequence[float], samples: int) -> list[Transition]:
    """Exact divergences of steps about sigma = 1, where images take their form, of several sizes."""

    def one(ratio: float) -> Transition:
        found = transition_kl(model, math.sqrt(ratio), 1 / math.sqrt(ratio), samples)
        return Transition(ratio, *(Interval.of(part) for part in (found.total, found.shape)))

    return [one(ratio) for ratio in ratios]


def staircase(curve: Curve, at: Sequence[float], points: int = 400) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fine levels ``(points,)`` from high to low, the mean curve there, and the stair above it: mmse at the start of each step."""
    gamma = gammas(LOW, HIGH, points)
    mean = Curve(curve.gamma, curve.mean()[None])
    fine, starts = gamma**-0.5, np.asarray(at[:-1])
    place = (starts[None, :] >= fine[:, None] * (1 - 1e-9)).sum(1) - 1
    return fine, mean.at(gamma)[0], mean.at(starts**-2.0)[0][place]
