"""Measurements of row 5: Euler's method in two clocks (time variables), on images and a
Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from samplerbench.benchmarks.metrics import FrechetEstimate, as_rows, paired_difference
from samplerbench.benchmarks.sampling import latents
from samplerbench.models import Denoiser
from samplerbench.models.exact import Gaussian
from samplerbench.samplers import Grid, LinearMultistep, LinearRow, Source

from ..statistics.intervals import Interval
from ..statistics.spread import total_variance
from .effort import Effort
from .generating import SAMPLES, DistanceToData, generate, grid_of, unlabelled

COUNTS, FAST = (1, 2, 5, 10, 20, 50, 100), (1, 2, 5, 10, 20, 50)
FEW, MANY = 1, 50
CLOCKS = ("clock σ", "clock √(v+σ²)")


class OneStepResult(NamedTuple):
    """Measurements of row 5; mappings are by clock.

    Attributes:
        counts: numbers of steps.
        distances: Fréchet distance to the data at each of ``counts``.
        errors: error of the end point on an isotropic Gaussian, in its standard deviations, at each
            of ``counts``.
        gaps: distance after one step less the distance after fifty, paired by latents.
        variance: total variance of the data's features.
        flags: reasons against trusting the distances' intervals.
    """

    counts: Sequence[int]
    distances: Mapping[str, Sequence[Interval]]
    errors: Mapping[str, Sequence[float]]
    gaps: Mapping[str, Interval]
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> OneStepResult:
    """Measure row 5: Euler's method in two clocks with 1 to 100 steps, on a mixture and a
    Gaussian.
    """
    counts = FAST if effort.fast else COUNTS
    model, n = effort.model("fashion-mppca"), effort.samples(SAMPLES, 192)
    to_data = DistanceToData(model, n)
    distances = {
        clock: [distance(to_data, model, clock, steps, n) for steps in counts] for clock in CLOCKS
    }
    few, many = counts.index(FEW), counts.index(MANY)
    return OneStepResult(
        counts,
        {
            clock: [Interval.normal(one.value, one.se) for one in line]
            for clock, line in distances.items()
        },
        {clock: [endpoint_share(sphere(), clock, steps) for steps in counts] for clock in CLOCKS},
        {
            clock: Interval.normal(*paired_difference(line[few], line[many]))
            for clock, line in distances.items()
        },
        to_data.variance,
        to_data.flags,
    )


@dataclass(frozen=True, kw_only=True)
class StraightEuler(LinearMultistep):
    """Euler's method in the clock u = sqrt(v + sigma²), which is exact on a Gaussian of variance v.

    There, paths are straight lines x = mean + (u / u_0) (x_0 - mean). With dx/du = (u / sigma) (x -
    d) / sigma, a step is x + k (x - d), k = du u / sigma².

    Attributes:
        variance: variance v > 0 of the data per dimension.
    """

    name: ClassVar[str] = "straight_euler"
    order: ClassVar[int | None] = 1
    source: ClassVar[Source] = Source(
        "karras2022edm", "Eq. 1, in another variable", "https://arxiv.org/abs/2206.00364v2"
    )
    variance: float = 1.0

    def plan(self, grid: Grid) -> list[LinearRow]:
        """Return one row per step.

        Unlike other methods, the step to 0 keeps sqrt(v) / u of the deviation.
        """
        rows = []
        for cur, nxt in grid.intervals():
            u, end = math.sqrt(self.variance + cur**2), math.sqrt(self.variance + nxt**2)
            k = (end - u) * u / cur**2
            rows.append(LinearRow(cur, a=1 + k, b=(-k,)))
        return rows

    def nfe(self, grid: Grid) -> int:
        """Return one evaluation per step."""
        return len(grid)


def sampler_of(model: Denoiser, clock: str) -> StraightEuler | str:
    """Return Euler's method in a clock.

    The variance in the second clock is the data's mean variance per dimension.
    """
    if clock == CLOCKS[0]:
        return "euler"
    return StraightEuler(variance=total_variance(model) / math.prod(model.event))


def distance(
    to_data: DistanceToData, model: Denoiser, clock: str, steps: int, n: int
) -> FrechetEstimate:
    """Return the Fréchet distance to the data after ``steps`` steps."""
    return to_data(generate(model, sampler_of(model, clock), steps, n, labels=unlabelled(model, n)))


def sphere() -> Gaussian:
    """Return an isotropic Gaussian in 16 dimensions, of standard deviation 1/2 and mean (1, …,
    1).
    """
    d = 16
    one = torch.ones(d, dtype=torch.float64)
    return Gaussian("sphere", one, torch.eye(d, dtype=torch.float64), one / 4)


def endpoint_share(model: Gaussian, clock: str, steps: int, n: int = 96) -> float:
    """Return the root mean square distance to the paths' exact ends, in standard deviations."""
    grid = grid_of(model, steps)
    off = generate(model, sampler_of(model, clock), grid, n) - model.endpoint(
        latents(model, torch.arange(n), 0, model.dtype)[0]
    )
    return float(np.sqrt(np.square(as_rows(off.numpy())).mean())) / model.scale
