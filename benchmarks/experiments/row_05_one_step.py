"""Row 5: without noise, does one step give as much as fifty?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from ...models import Denoiser
from ...models.exact.gaussian import Gaussian
from ...samplers import Grid, LinearMultistep, LinearRow, Source
from ..batch import latents
from ..metrics.frechet import FrechetEstimate, paired_difference
from ..metrics.moments import as_rows
from .base import Answer, Effort, Verdict
from .generating import Yardstick, generate, grid_of, unlabelled
from .intervals import Interval
from .one_step_figures import CLOCKS, DETAILS, draw
from .spread import total_variance

COUNTS, FAST = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), (1, 2, 5, 10, 20, 50)
FEW, MANY = 1, 50
NEGLIGIBLE = 0.01
"""A gap below this share of the variance of the features is none."""


@dataclass(frozen=True, kw_only=True)
class StraightEuler(LinearMultistep):
    """Euler's method in the clock u = sqrt(v + sigma²), in which the paths of a Gaussian of variance v are straight lines.

    There x = mean + (u / u_0) (x_0 - mean). With dx/du = (u / sigma) (x - d) / sigma a step is x + k (x - d), k = du u / sigma².

    Attributes:
        variance: v > 0, of the data per dimension.
    """

    name: ClassVar[str] = "straight_euler"
    order: ClassVar[int | None] = 1
    source: ClassVar[Source] = Source("karras2022edm", "Eq. 1, in another variable", "https://arxiv.org/abs/2206.00364v2")
    variance: float = 1.0

    def plan(self, grid: Grid) -> list[LinearRow]:
        """One row a step; unlike other methods, the step to 0 keeps sqrt(v) / u of the deviation."""
        rows = []
        for cur, nxt in grid.intervals():
            u, end = math.sqrt(self.variance + cur**2), math.sqrt(self.variance + nxt**2)
            k = (end - u) * u / cur**2
            rows.append(LinearRow(cur, a=1 + k, b=(-k,)))
        return rows

    def nfe(self, grid: Grid) -> int:
        """One a step."""
        return len(grid)


@dataclass(frozen=True)
class OneStep:
    """The row."""

    number: int = 5
    question: str = "Without added noise, is one step as good as fifty?"
    claim: str = "If no noise is added, nothing is lost by jumping: one step gives as much as fifty."

    def __call__(self, effort: Effort) -> Answer:
        """Euler's method in two clocks from 1 to 1000 steps, on a mixture and on a Gaussian."""
        counts = FAST if effort.fast else COUNTS
        model, n = effort.model("fashion-mppca"), effort.samples(576, 192)
        ruler = Yardstick(model)
        distances = {clock: [distance(ruler, model, clock, steps, n) for steps in counts] for clock in CLOCKS}
        errors = {clock: [endpoint_share(sphere(), clock, steps) for steps in counts] for clock in CLOCKS}
        places = counts.index(FEW), counts.index(MANY)
        gaps = {clock: gap(line[places[0]], line[places[1]]) for clock, line in distances.items()}
        curves = {clock: [Interval.normal(one.value, one.se) for one in line] for clock, line in distances.items()}
        columns: dict[str, list[object]] = {"steps": list(counts)}
        for clock in CLOCKS:
            columns[f"distance to data, {clock}{ruler.mark}"] = [f"{one.value:.3g} ± {1.96 * one.se:.2g}" for one in distances[clock]]
            columns[f"error on a Gaussian, {clock}"] = [f"{error:.1e}" for error in errors[clock]]
        return Answer(
            draw(counts, curves, errors), pd.DataFrame(columns), judge(gaps, ruler.variance, errors[CLOCKS[1]][0]), DETAILS + ruler.note
        )


def judge(gaps: Mapping[str, Interval], scale: float, straight: float) -> Verdict:
    """What becomes of the claim.

    Args:
        gaps: distance to the data after one step less that after fifty, in each clock.
        scale: total variance of the data's features; a gap that is surely below :data:`NEGLIGIBLE` of it is none.
        straight: error of one step on an isotropic Gaussian in its own clock, relative to its standard deviation.
    """
    worst, best = max(gaps.values(), key=lambda one: one.value), min(gaps.values(), key=lambda one: one.value)
    numbers = f"One step is farther from the data than fifty by {best}" + (f" to {worst}" if worst.value > 1.01 * best.value else "")
    numbers += f", where the data’s features have a variance of {scale:.3g}."
    if best.high < NEGLIGIBLE * scale:
        return Verdict("supports", f"In the right clock, one step is as good as fifty here. {numbers}")
    if best.low > NEGLIGIBLE * scale:
        true = f" It is true where paths are straight: on an isotropic Gaussian in its own clock one step errs by {straight:.0e} spreads."
        return Verdict("refutes", f"Adding no noise does not make one step enough. {numbers}{true}")
    return Verdict("inconclusive", f"These samples do not tell. {numbers}")


def sampler_of(model: Denoiser, clock: str) -> StraightEuler | str:
    """Euler's method in a clock; the variance of the second is the data's mean variance per dimension."""
    if clock == CLOCKS[0]:
        return "euler"
    return StraightEuler(variance=total_variance(model) / math.prod(model.event))


def distance(ruler: Yardstick, model: Denoiser, clock: str, steps: int, n: int) -> FrechetEstimate:
    """Fréchet distance from the data after so many steps."""
    return ruler(generate(model, sampler_of(model, clock), steps, n, labels=unlabelled(model, n)))


def gap(few: FrechetEstimate, many: FrechetEstimate) -> Interval:
    """How much farther few steps are, paired by latents."""
    return Interval.normal(*paired_difference(few, many))


def sphere() -> Gaussian:
    """An isotropic Gaussian in 16 dimensions, of standard deviation 1/2 and mean (1, …, 1)."""
    d = 16
    one = torch.ones(d, dtype=torch.float64)
    return Gaussian("sphere", one, torch.eye(d, dtype=torch.float64), one / 4)


def endpoint_share(model: Gaussian, clock: str, steps: int, n: int = 96) -> float:
    """Root mean square distance to the exact end of each path, in standard deviations of the data."""
    grid = grid_of(model, steps)
    off = generate(model, sampler_of(model, clock), grid, n) - model.endpoint(latents(model, torch.arange(n), 0, model.dtype)[0])
    return float(np.sqrt(np.square(as_rows(off.numpy())).mean())) / model.scale


ROW = OneStep()
