"""Measurements of row 4: samples with and without noise after the first draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from samplerbench.benchmarks.metrics import FrechetEstimate, endpoint_error, paired_difference
from samplerbench.benchmarks.sampling import latents
from samplerbench.models.exact import ExactModel

from ..statistics.intervals import Interval
from ..statistics.spread import total_variance
from .effort import Effort
from .generating import SAMPLES, DistanceToData, exact_model, generate, unlabelled

COUNTS, FAST = (1, 2, 5, 10, 20, 50, 100, 200), (1, 2, 5, 10, 20, 50)
FINE, FAST_FINE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), (1, 2, 5, 10, 20, 50, 100, 200)
SAMPLERS = ("euler", "dpmpp_2m", "ddpm", "er_sde_2")
"""Samplers without noise (two) and with noise (two), of orders one and two each."""
QUIET = ("euler", "dpmpp_2m", "dpm_solver_3m")
"""Samplers without noise, of orders 1, 2 and 3."""


class NoNoiseResult(NamedTuple):
    """Measurements of row 4.

    Attributes:
        counts: numbers of steps for quality.
        quality: Fréchet distance to the data at each of ``counts``, by sampler.
        noise: distance without noise (Euler's method) less the distance with noise (``ddpm``),
            paired by latents, at each of ``counts``.
        trade: distance after one step less the distance after the most, without noise, paired by
            latents.
        fine: numbers of steps for errors.
        errors: median distance to the exact end of each path in standard deviations of the data, at
            each of ``fine``, by method.
        variance: total variance of the data's features.
        flags: reasons against trusting the distances' intervals.
    """

    counts: Sequence[int]
    quality: Mapping[str, Sequence[Interval]]
    noise: Sequence[Interval]
    trade: Interval
    fine: Sequence[int]
    errors: Mapping[str, Sequence[float]]
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> NoNoiseResult:
    """Measure row 4: quality with and without noise, and errors without noise."""
    counts, fine = (FAST, FAST_FINE) if effort.fast else (COUNTS, FINE)
    images, points = effort.model("fashion-mppca"), exact_model(effort, "gmm-64d")
    n = effort.samples(SAMPLES, 192)
    to_data = DistanceToData(images, n)
    labels = unlabelled(images, n)
    quality = {
        name: [to_data(generate(images, name, steps, n, labels=labels)) for steps in counts]
        for name in SAMPLERS
    }
    errors = {name: ends(points, name, fine, effort.samples(384, 96)) for name in QUIET}
    return NoNoiseResult(
        counts,
        {
            name: [Interval.normal(one.value, one.se) for one in line]
            for name, line in quality.items()
        },
        [gap(quality, place) for place in range(len(counts))],
        Interval.normal(*paired_difference(quality["euler"][0], quality["euler"][-1])),
        fine,
        errors,
        to_data.variance,
        to_data.flags,
    )


def gap(quality: Mapping[str, list[FrechetEstimate]], place: int) -> Interval:
    """Return the distance without noise less the distance with noise, paired by latents."""
    return Interval.normal(*paired_difference(quality["euler"][place], quality["ddpm"][place]))


def ends(model: ExactModel, name: str, counts: tuple[int, ...], n: int) -> list[float]:
    """Return the median distance to the paths' exact ends at each of ``counts``, in data s.d."""
    with torch.no_grad():
        truth = model.endpoint(latents(model, torch.arange(n), 0, model.dtype)[0]).numpy()
    spread = (total_variance(model) / model.dim) ** 0.5
    return [
        endpoint_error(generate(model, name, steps, n).numpy(), truth).rmse_median / spread
        for steps in counts
    ]
