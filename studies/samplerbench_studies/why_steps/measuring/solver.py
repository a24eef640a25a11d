"""Measurements of row 8: errors, evaluations and seconds of solvers on increasingly fine grids."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.metrics import endpoint_error
from samplerbench.benchmarks.sampling import latents
from samplerbench.models.exact import ExactModel
from samplerbench.samplers import Grid, karras, make

from ...arrays import FloatArray
from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .generating import exact_model, generate

SOLVERS = ("euler", "heun", "dpmpp_2m", "dpm_solver_3m", "dpm_solver_3", "deis_rrk_4")
STEPS, FAST = (8, 16, 32, 64, 128, 256), (8, 16, 32, 64, 128)
END = 0.05
"""Last level of exact flow and grids, which avoids the methods' special steps to 0."""
LAST = 3
"""Number of the finest grids from which a slope is fitted."""


@dataclass(frozen=True)
class SolverCurve:
    """Errors and costs of a method on increasingly fine grids.

    Attributes:
        name: name of the method.
        steps: number of steps of each grid.
        order: declared order.
        evaluations: evaluations per sample on each grid.
        seconds: core seconds per sample.
        errors: median distance to the exact end per dimension, in data units.
        slope: measured order.
    """

    name: str
    steps: Sequence[int]
    order: int
    evaluations: Sequence[int]
    seconds: Sequence[float]
    errors: Sequence[float]
    slope: Interval


def measure(effort: Effort) -> list[SolverCurve]:
    """Measure row 8: six methods on six grids, against the exact flow."""
    model, n = exact_model(effort, "gmm-64d"), effort.samples(384, 96)
    with torch.no_grad():
        truth = model.flow(latents(model, torch.arange(n), 0, model.dtype)[0], model.sigma_max, END)
    return [curve_of(model, name, FAST if effort.fast else STEPS, truth) for name in SOLVERS]


def curve_of(model: ExactModel, name: str, steps: Sequence[int], truth: Tensor) -> SolverCurve:
    """Return errors, evaluations, seconds and slope of a method."""
    sampler = make(name)
    grids = [karras(count, END, model.sigma_max, to_zero=False) for count in steps]
    errors, seconds = zip(*(timed_errors(model, name, grid, truth) for grid in grids), strict=True)
    evaluations = [sampler.nfe(grid) or 0 for grid in grids]
    order = sampler.order
    assert order is not None
    medians = [float(np.median(part)) for part in errors]
    return SolverCurve(
        name, steps, order, evaluations, list(seconds), medians, slope(steps, np.stack(errors))
    )


def timed_errors(
    model: ExactModel, name: str, grid: Grid, truth: Tensor
) -> tuple[FloatArray, float]:
    """Return the samples' distances to the exact end, and core seconds per sample."""
    start = time.process_time()
    x = generate(model, name, grid, len(truth))
    seconds = (time.process_time() - start) / len(truth)
    return endpoint_error(x.numpy(), truth.numpy()).per_sample, seconds


def slope(steps: Sequence[int], errors: FloatArray) -> Interval:
    """Return the order, the least-squares slope of log median error over the finest grids.

    ``errors`` are ``(grids, n)``. The interval is over samples.
    """
    step = np.log(np.asarray(steps[-LAST:], dtype=np.float64))

    def fitted(rows: np.ndarray) -> float:
        return -float(np.polyfit(step, np.log(np.median(errors[-LAST:, rows], axis=1)), 1)[0])

    return bootstrap(fitted, errors.shape[1])
