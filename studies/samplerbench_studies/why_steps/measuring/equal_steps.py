"""Measurements of row 7 on the grid of steps with equal errors, against the usual grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks import make_schedule
from samplerbench.benchmarks.metrics import endpoint_error, paired_difference
from samplerbench.benchmarks.sampling import latents
from samplerbench.models import Denoiser
from samplerbench.models.exact import ExactModel
from samplerbench.samplers import Grid, karras

from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .generating import SAMPLES, DistanceToData, generate

STEPS = {"euler": (10, 20), "heun": (5, 10)}
"""Numbers of steps of each sampler, for nearly equal evaluations (``heun``'s last step has one)."""
FINE, FAST_FINE = 64, 32
"""Steps of the paths for the search of the grid and for the comparison of samples."""


class Comparison(NamedTuple):
    """Results of a sampler on the grids ``equal_error`` and ``karras``, from the same noises.

    Attributes:
        model, sampler: names of model and sampler.
        steps: number of steps of both grids.
        karras: median distance to the paths' ends on ``karras``, per dimension in data units.
        ratio: median distance on ``equal_error`` over ``karras``.
        distance: Fréchet distance to the data on ``karras``; None without a classifier's features.
        change: Fréchet distance on ``equal_error`` less ``distance``.
    """

    model: str
    sampler: str
    steps: int
    karras: float
    ratio: Interval
    distance: Interval | None
    change: Interval | None


class EqualStepsResult(NamedTuple):
    """Comparisons, and an example of the grid.

    Attributes:
        rows: comparisons.
        levels: levels of ``equal_error`` in ten steps on ``fashion``.
        flags: reasons against trusting the Fréchet distances' intervals.
    """

    rows: list[Comparison]
    levels: list[float]
    flags: list[str]


def measure_equal_steps(effort: Effort) -> EqualStepsResult:
    """Measure both grids with two samplers, on ``gmm-64d`` and on ``fashion``."""
    rows, flags = [], []
    levels: list[float] = []
    fine = FAST_FINE if effort.fast else FINE
    for name, full in (("gmm-64d", 384), ("fashion", SAMPLES // 2)):
        model, n = effort.model(name), effort.samples(full)
        options = {"teacher_steps": fine, "latents": effort.samples(64, 16)}
        made = make_schedule({"name": "equal_error", **options}).for_model(model)
        truth = ends(model, n, fine)
        to_data = None if isinstance(model, ExactModel) else DistanceToData(model, n)
        for sampler, counts in STEPS.items():
            for steps in counts[: 1 if effort.fast else None]:
                grids = [make(steps, model.sigma_min, model.sigma_max) for make in (karras, made)]
                rows.append(compared(model, sampler, grids, truth, to_data))
        levels = list(made(10, model.sigma_min, model.sigma_max).sigma)
        flags += to_data.flags if to_data else []
    return EqualStepsResult(rows, levels, flags)


@torch.no_grad()
def ends(model: Denoiser, n: int, fine: int) -> Tensor:
    """Return the ends of the paths of samples 0 … n - 1: exact, or by many steps of ``ipndm``."""
    if isinstance(model, ExactModel):
        return model.endpoint(latents(model, torch.arange(n), 0, model.dtype)[0])
    return generate(model, "ipndm", fine, n)


def compared(
    model: Denoiser, sampler: str, grids: list[Grid], truth: Tensor, to_data: DistanceToData | None
) -> Comparison:
    """Compare a sampler on ``karras`` and on ``equal_error``, the ``grids`` in this order."""
    samples = [generate(model, sampler, one, len(truth)) for one in grids]
    usual, even = (endpoint_error(x.numpy(), truth.numpy()).per_sample for x in samples)
    ratio = bootstrap(
        lambda rows: float(np.median(even[rows]) / np.median(usual[rows])), len(truth)
    )
    distance = change = None
    if to_data:
        before, after = (to_data(x) for x in samples)
        distance = Interval.normal(before.value, before.se)
        change = Interval.normal(*paired_difference(after, before))
    return Comparison(
        model.name, sampler, len(grids[0]), float(np.median(usual)), ratio, distance, change
    )
