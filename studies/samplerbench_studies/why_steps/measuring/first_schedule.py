"""Measurements of row 10: binary images, four grids on one model, and the first noise level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks import make_schedule
from samplerbench.benchmarks.metrics import FrechetReference, estimate, paired_difference
from samplerbench.models import Denoiser, MMSECurve, denoising_loss
from samplerbench.models.exact import PointCloud
from samplerbench.samplers import Grid

from ...analysis.first_step import chain, first_step_bound
from ...analysis.path_kl import step_kl
from ...arrays import FloatArray
from ...models.discrete.binomial import signals
from ...models.discrete.bound import bound
from ...models.discrete.hamming import BinaryReference, fashion_binary
from ...models.discrete.network import Predictor, binomial_network
from ...models.discrete.sampling import ancestral
from ..statistics.intervals import Interval, bootstrap
from .big_steps import HIGH, LOW, tabulated
from .effort import Effort
from .generating import SAMPLES, DistanceToData, exact_model, generate

COUNTS, FAST_COUNTS = (1, 2, 5, 10, 20, 50, 100, 1000), (1, 2, 10, 50)
SHOWN, PICTURED = (1, 2, 10, 50, 1000), 10
"""Numbers of steps whose samples are shown, and number of these samples."""
OTHER_SIGNALS = 10
"""Number of steps for comparing equal shares with another schedule on binary images."""
EARLY, TODAY = "equal shares", "karras"
GRIDS = {
    EARLY: "sohl_dickstein_1503",
    "linear (2020)": "uniform_time(process='vp_linear')",
    "cosine": "uniform_time(process='vp_cosine')",
    TODAY: "karras",
}
MIDDLE = 10
"""Number of steps by which the grids are judged."""
CELLS = tuple(
    (model, sampler, steps)
    for model in ("fashion-mppca", "fashion")
    for sampler in ("ddpm", "euler")
    for steps in (2, MIDDLE)
)
FAST_CELLS = (("fashion-mppca", "ddpm", MIDDLE), ("fashion", "ddpm", MIDDLE))
"""Samples with a measured distance to the data: model, sampler, steps."""
CHAIN = 1000
"""Number of steps of the diffusion whose first rate is free."""
BETAS = tuple(np.geomspace(1e-5, 0.5, 48).tolist())


class Binary(NamedTuple):
    """Results of binomial diffusion on binary images.

    Attributes:
        bits: bound on the bits per pixel of unseen images, by number of steps.
        distances: Fréchet distance of the samples' Hamming features to the data's, pixels².
        flags: reasons against trusting the distances' intervals.
        fewer_bits: bits per pixel of one step less bits of the most steps, paired by images.
        nearer: distance of one step less the distance of the most steps, paired by samples.
        other: bits per pixel of a cosine schedule less bits of equal shares, in
            :data:`OTHER_SIGNALS` steps, paired by images.
        variance: total variance of the data's features.
        shown: numbers of steps of the pictures.
        pictures: ``(len(shown), PICTURED, h, w)`` uint8 of 0 and 1.
    """

    bits: Sequence[Interval]
    distances: Sequence[Interval]
    flags: Sequence[str]
    fewer_bits: Interval
    nearer: Interval
    other: Interval
    variance: float
    shown: Sequence[int]
    pictures: NDArray[np.uint8]


class Quality(NamedTuple):
    """Distances to the data of samples of one model, sampler and number of steps.

    Attributes:
        model: name of the model.
        sampler: name of the sampler.
        steps: number of steps between :data:`HIGH` and :data:`LOW`; one more goes to 0.
        distances: Fréchet distance to the data, by grid.
        gap: distance on the grid :data:`EARLY` less the distance on :data:`TODAY`, paired by
            latents.
        variance: total variance of the data's features.
    """

    model: str
    sampler: str
    steps: int
    distances: Mapping[str, Interval]
    gap: Interval
    variance: float


class FirstRate(NamedTuple):
    """Likelihood bound as a function of the first rate, beta_1.

    Attributes:
        betas: rates beta_1.
        known: mean bound in nats per image, of images that the denoiser has memorised.
        unseen: mean bound in nats per image, of other images.
        gain: nats by which the bound of known images falls for a factor e in beta_1, at the
            smallest rates, over half the dimensions. 1 is a collapse without limit.
        best: beta_1 with the lowest bound for unseen images.
        steps: number of steps of the chain.
        dim: number of dimensions of an image.
    """

    betas: Sequence[float]
    known: Sequence[Interval]
    unseen: Sequence[Interval]
    gain: Interval
    best: Interval
    steps: int
    dim: int


class FirstScheduleResult(NamedTuple):
    """Measurements of row 10.

    Attributes:
        counts: numbers of steps.
        binary: results of binomial diffusion.
        nats: path divergence of ancestral sampling on ``fashion-mppca``, by grid.
        quality: distances of samples to the data.
        flags: reasons against trusting these distances' intervals.
        first: results on the first rate, on ``digits-cloud``.
    """

    counts: Sequence[int]
    binary: Binary
    nats: Mapping[str, Sequence[Interval]]
    quality: Sequence[Quality]
    flags: Sequence[str]
    first: FirstRate


def measure(effort: Effort) -> FirstScheduleResult:
    """Measure row 10: steps on binary images, grids on images, the first rate on a cloud."""
    fast = effort.fast
    counts = FAST_COUNTS if fast else COUNTS
    binary = binary_steps(
        binomial_network(),
        fashion_binary(),
        counts,
        effort.samples(216),
        effort.samples(256),
    )
    model = exact_model(effort, "fashion-mppca")
    curve = tabulated(model, effort.samples(192, 64), 33 if fast else 97)
    nats = {
        name: [_mean(step_kl(curve, levels(name, steps)).sum(1)) for steps in counts]
        for name in GRIDS
    }
    cells, grids = (FAST_CELLS, (EARLY, TODAY)) if fast else (CELLS, tuple(GRIDS))
    quality, flags = qualities(effort, cells, grids, effort.samples(SAMPLES, 192))
    first = first_rates(effort.model("digits-cloud"), effort.samples(398, 128))
    return FirstScheduleResult(counts, binary, nats, quality, flags, first)


def binary_steps(
    predict: Predictor,
    reference: BinaryReference,
    counts: Sequence[int],
    samples: int,
    images: int,
) -> Binary:
    """Measure binomial diffusion whose steps erase equal shares of the signal.

    Args:
        predict: reverse model.
        reference: data of the model.
        counts: numbers of steps, rising from 1.
        samples: number of samples for each number of steps.
        images: number of unseen images whose bound is computed.
    """
    truth = FrechetReference(reference.mean, reference.cov)
    event = tuple(reference.held_out.shape[1:])
    unseen = reference.held_out[:images]
    scale = 1 / (math.prod(event) * math.log(2))

    def bits(at: Sequence[float]) -> FloatArray:
        return scale * bound(predict, unseen, at)

    bounds = [bits(signals(steps)) for steps in counts]
    drawn = [ancestral(predict, signals(steps), samples, event) for steps in counts]
    found = [estimate(truth, reference.features(x)) for x in drawn]
    nearer = paired_difference(found[0], found[-1])
    shown = [place for place, steps in enumerate(counts) if steps in SHOWN]
    return Binary(
        [_mean(one) for one in bounds],
        [Interval(one.value, one.low, one.high) for one in found],
        [one.flag for one in found],
        _mean(bounds[0] - bounds[-1]),
        Interval.normal(*nearer),
        _mean(bits(cosine_signals(OTHER_SIGNALS)) - bits(signals(OTHER_SIGNALS))),
        float(np.trace(reference.cov)),
        [counts[place] for place in shown],
        np.stack([drawn[place][:PICTURED, 0].numpy().astype(np.uint8) for place in shown]),
    )


def cosine_signals(steps: int) -> list[float]:
    """Return signals cos²(pi t / 2 T), t = 0 … T, whose steps are finer at both ends."""
    inner = [math.cos(math.pi * t / (2 * steps)) ** 2 for t in range(1, steps)]
    return [1.0, *inner, 0.0]


def levels(grid: str, steps: int) -> tuple[float, ...]:
    """Return the ``steps`` + 1 levels of one of :data:`GRIDS`, from HIGH to LOW."""
    return make_schedule(GRIDS[grid])(steps, LOW, HIGH, to_zero=False).sigma


def qualities(
    effort: Effort, cells: Sequence[tuple[str, str, int]], grids: Sequence[str], samples: int
) -> tuple[list[Quality], list[str]]:
    """Return the :class:`Quality` of each (model, sampler, steps), and flags of all distances."""
    to_data: dict[str, DistanceToData] = {}
    models: dict[str, Denoiser] = {}
    quality = []
    for name, sampler, steps in cells:
        model = models.setdefault(name, effort.model(name))
        distance = to_data.setdefault(name, DistanceToData(model, samples))
        found = {
            grid: distance(generate(model, sampler, Grid((*levels(grid, steps), 0.0)), samples))
            for grid in grids
        }
        quality.append(
            Quality(
                name,
                sampler,
                steps,
                {grid: Interval.normal(one.value, one.se) for grid, one in found.items()},
                Interval.normal(*paired_difference(found[EARLY], found[TODAY])),
                distance.variance,
            )
        )
    return quality, [flag for one in to_data.values() for flag in one.flags]


def first_rates(model: Denoiser, samples: int) -> FirstRate:
    """Return the bound against beta_1, for images that a denoiser has memorised and for others.

    Args:
        model: a point cloud, of which two of nine points are held out from the denoiser; or a
            density, which memorises no image.
        samples: largest number of images of each kind.
    """
    if isinstance(model, PointCloud):
        points = model.points
        apart = torch.arange(len(points)) % 9 >= 7
        denoiser: Denoiser = PointCloud("known", points[~apart])
        sets = (points[~apart][:samples], points[apart][:samples])
    else:
        density, denoiser = model, model
        sets = tuple(density.sample(samples, seed) for seed in (1, 2))  # pyright: ignore[reportAttributeAccessIssue]
    known, unseen = (_bounds(denoiser, x0) for x0 in sets)
    dim = sets[0][0].numel()
    gain = (known[:, 1] - known[:, 0]) / math.log(BETAS[1] / BETAS[0]) / (dim / 2)

    def best(rows: NDArray[np.int64]) -> float:
        return lowest(np.log(BETAS), unseen[rows].mean(0))

    return FirstRate(
        BETAS,
        [_mean(column) for column in known.T],
        [_mean(column) for column in unseen.T],
        _mean(gain),
        bootstrap(best, len(unseen)),
        CHAIN,
        dim,
    )


def lowest(place: FloatArray, values: FloatArray) -> float:
    """Return exp of the minimum's place, by the parabola through the smallest value and its
    neighbours.

    If the smallest value is at an end, its own place is used.

    Args:
        place: places, rising and evenly spaced.
        values: values at these places.
    """
    at = int(values.argmin())
    if at in (0, len(values) - 1):
        return math.exp(place[at])
    left, middle, right = values[at - 1 : at + 2]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    return math.exp(place[at] + shift * (place[at + 1] - place[at]))


def _bounds(denoiser: Denoiser, x0: Tensor) -> FloatArray:
    """Return each image's bound for every rate, ``(n, len(BETAS))`` nats."""
    ends = [chain(beta, CHAIN) for beta in (BETAS[0], BETAS[-1])]
    gamma = np.geomspace(0.9 * min(one[-2] for one in ends), 1.1 * ends[0][0], 97)
    blind = denoising_loss(denoiser, x0, [1e-9, 1e-8]).draws[:, 0]
    curve: MMSECurve = denoising_loss(denoiser, x0, gamma)
    return first_step_bound(curve, blind, x0[0].numel(), BETAS, CHAIN)


def _mean(draws: FloatArray) -> Interval:
    """Return the mean of independent draws with its interval."""
    return Interval.normal(float(draws.mean()), float(draws.std(ddof=1)) / math.sqrt(len(draws)))
