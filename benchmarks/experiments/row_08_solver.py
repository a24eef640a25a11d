"""Row 8: is it like solving a differential equation numerically? Error against evaluations and seconds, and measured orders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...models.exact.base import ExactModel
from ...samplers import Grid, karras, make
from ..batch import latents
from ..metrics.endpoint import endpoint_error
from ..metrics.moments import FloatArray
from .base import Answer, Effort, Verdict
from .generating import exact_model, generate
from .intervals import Interval, bootstrap
from .solver_figures import DETAILS, Line, draw

SOLVERS = ("euler", "heun", "dpmpp_2m", "dpm_solver_3m", "dpm_solver_3", "deis_rrk_4")
STEPS, FAST = (8, 16, 32, 64, 128, 256), (8, 16, 32, 64, 128)
END = 0.05
"""Last level: the exact flow is followed to here, where no method has its special step to 0."""
WITHIN = 0.25
"""An order is confirmed within this."""
LAST = 3
"""Grids of a slope: the finest ones."""


@dataclass(frozen=True)
class Solver:
    """The row."""

    number: int = 8
    question: str = "Is it like solving a differential equation?"
    claim: str = "Sampling is the numerical solution of a differential equation: the error falls with the steps at the order of the method."

    def __call__(self, effort: Effort) -> Answer:
        """Six methods on six grids, against the exact flow."""
        model, n = exact_model(effort, "gmm-64d"), effort.samples(384, 96)
        steps = FAST if effort.fast else STEPS
        with torch.no_grad():
            truth = model.flow(latents(model, torch.arange(n), 0, model.dtype)[0], model.sigma_max, END)
        lines = [measure(model, name, steps, truth) for name in SOLVERS]
        table = pd.DataFrame(
            {
                "method": [line.name for line in lines],
                "order": [line.order for line in lines],
                "measured order": [f"{line.slope.value:.2f} [{line.slope.low:.2f}, {line.slope.high:.2f}]" for line in lines],
                **{f"error at {count} steps": [f"{line.errors[place]:.1e}" for line in lines] for place, count in enumerate(steps)},
                "evaluations for 1e-3": [f"{needed(line, 1e-3):.0f}" for line in lines],
            }
        )
        return Answer(draw(lines), table, judge([(line.name, line.order, line.slope) for line in lines]), DETAILS)


def judge(orders: Sequence[tuple[str, int, Interval]]) -> Verdict:
    """What becomes of the claim.

    Args:
        orders: of each method its name, its declared order, and the measured one.
    """
    off = {name: abs(slope.value - order) for name, order, slope in orders}
    right = [name for name, distance in off.items() if distance <= WITHIN]
    measured = ", ".join(f"{name} {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}] of {order}" for name, order, slope in orders)
    if len(right) == len(orders):
        return Verdict(
            "supports", f"Every method shows its order within {WITHIN}, the worst being off by {max(off.values()):.2f}: {measured}."
        )
    if not right:
        return Verdict("refutes", f"No method shows its order within {WITHIN}: {measured}.")
    return Verdict("refines", f"{len(right)} of {len(orders)} methods show their order within {WITHIN}: {measured}.")


def measure(model: ExactModel, name: str, steps: Sequence[int], truth: Tensor) -> Line:
    """Errors, evaluations, seconds and slope of a method."""
    sampler = make(name)
    grids = [karras(count, END, model.sigma_max, to_zero=False) for count in steps]
    errors, seconds = zip(*(run(model, name, grid, truth) for grid in grids), strict=True)
    evaluations = [sampler.nfe(grid) or 0 for grid in grids]
    order = sampler.order
    assert order is not None
    return Line(name, order, evaluations, list(seconds), [float(np.median(part)) for part in errors], slope(steps, np.stack(errors)))


def run(model: ExactModel, name: str, grid: Grid, truth: Tensor) -> tuple[FloatArray, float]:
    """Distances of the samples to the exact end, and seconds of one core a sample."""
    start = time.process_time()
    x = generate(model, name, grid, len(truth))
    seconds = (time.process_time() - start) / len(truth)
    return endpoint_error(x.numpy(), truth.numpy()).per_sample, seconds


def slope(steps: Sequence[int], errors: FloatArray) -> Interval:
    """The order: slope of the median error ``(grids, n)`` over the finest grids, by least squares of the logarithms."""
    step = np.log(np.asarray(steps[-LAST:], dtype=np.float64))

    def fitted(rows: np.ndarray) -> float:
        return -float(np.polyfit(step, np.log(np.median(errors[-LAST:, rows], axis=1)), 1)[0])

    return bootstrap(fitted, errors.shape[1])


def needed(line: Line, error: float) -> float:
    """Evaluations at which the line crosses an error, between grids on a straight line of the logarithms; NaN if it does not."""
    falling = np.minimum.accumulate(line.errors)
    if not falling[-1] <= error <= falling[0]:
        return float("nan")
    return float(np.exp(np.interp(-np.log(error), -np.log(falling), np.log(line.evaluations))))


ROW = Solver()
