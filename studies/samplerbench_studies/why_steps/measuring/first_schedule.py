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
"""Numbers of steps whose samples are shown, and how many."""
OTHER_SIGNALS = 10
"""Steps in which equal shares are compared with another schedule on binary images."""
EARLY, TODAY = "equal shares", "karras"
GRIDS = {
    EARLY: "sohl_dickstein_1503",
    "linear (2020)": "uniform_time(process='vp_linear')",
    "cosine": "uniform_time(process='vp_cosine')",
    TODAY: "karras",
}
MIDDLE = 10
"""Steps by which the grids are judged."""
CELLS = tuple(
    (model, sampler, steps)
    for model in ("fashion-mppca", "fashion")
    for sampler in ("ddpm", "euler")
    for steps in (2, MIDDLE)
)
FAST_CELLS = (("fashion-mppca", "ddpm", MIDDLE), ("fashion", "ddpm", MIDDLE))
"""Samples whose distance to the data is measured: model, sampler, steps."""
CHAIN = 1000
"""Steps of the diffusion whose first rate is free."""
BETAS = tuple(np.geomspace(1e-5, 0.5, 48).tolist())


class Binary(NamedTuple):
    """What steps do for binary images.

    Attributes:
        bits: bound on the bits a pixel of unseen images, by number of steps.
        distances: Fréchet distance of the samples' Hamming features to the data's, pixels².
        flags: of the distances.
        fewer_bits: bits a pixel of one step less those of the most, paired by images.
        nearer: distance of one step less that of the most, paired by samples.
        other: bits a pixel of a cosine schedule less those of equal shares in
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
    """Samples of one model, sampler and number of steps.

    Attributes:
        model: its name.
        sampler: its name.
        steps: between :data:`HIGH` and :data:`LOW`; one more goes to 0.
        distances: Fréchet distance to the data, by grid.
        gap: that of :data:`EARLY` less that of :data:`TODAY`, paired by latents.
        variance: total variance of the data's features.
    """

    model: str
    sampler: str
    steps: int
    distances: Mapping[str, Interval]
    gap: Interval
    variance: float


class FirstRate(NamedTuple):
    """The likelihood bound as a function of the first rate, beta_1.

    Attributes:
        betas: the rates.
        known: mean bound of images that the denoiser knows by heart, nats an image.
        unseen: of others.
        gain: by how many nats the bound of known images falls when beta_1 does by a factor e, at
            its smallest, over half the dimensions: 1 is a collapse without end.
        best: beta_1 that is best for unseen images.
        steps: of the chain.
        dim: dimensions of an image.
    """

    betas: Sequence[float]
    known: Sequence[Interval]
    unseen: Sequence[Interval]
    gain: Interval
    best: Interval
    steps: int
    dim: int


class FirstScheduleResult(NamedTuple):
    """The measurements of row 10.

    Attributes:
        counts: numbers of steps.
        binary: of binomial diffusion.
        nats: path divergence of ancestral sampling on ``fashion-mppca``, by grid.
        quality: of samples.
        flags: of their distances.
        first: of the first rate, on ``digits-cloud``.
    """

    counts: Sequence[int]
    binary: Binary
    nats: Mapping[str, Sequence[Interval]]
    quality: Sequence[Quality]
    flags: Sequence[str]
    first: FirstRate


def measure(effort: Effort) -> FirstScheduleResult:
    """Steps on binary images, grids on images, and the first rate on a cloud."""
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
    """Binomial diffusion with equal shares of the signal a step.

    Args:
        predict: the reverse model.
        reference: its data.
        counts: numbers of steps, rising from 1.
        samples: how many to draw for each.
        images: how many of the unseen ones to bound.
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
    """Signals cos²(pi t / 2 T) for t = 0 … T: fewer at both ends, and finer there."""
    inner = [math.cos(math.pi * t / (2 * steps)) ** 2 for t in range(1, steps)]
    return [1.0, *inner, 0.0]


def levels(grid: str, steps: int) -> tuple[float, ...]:
    """The N + 1 levels of one of :data:`GRIDS`."""
    return make_schedule(GRIDS[grid])(steps, LOW, HIGH, to_zero=False).sigma


def qualities(
    effort: Effort, cells: Sequence[tuple[str, str, int]], grids: Sequence[str], samples: int
) -> tuple[list[Quality], list[str]]:
    """Distances of samples to the data on the grids, two of which are compared, and their flags."""
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
    """The bound against beta_1, for images that a denoiser knows and for others.

    Args:
        model: a point cloud, of whose points two of every nine are kept from the denoiser; or a
            density, which knows no image in particular.
        samples: of each kind, at most.
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
    """Exp of where the parabola through the smallest of the values and its neighbours is lowest; of
    the smallest's own place at either end.

    Args:
        place: rising, evenly spaced.
        values: at these places.
    """
    at = int(values.argmin())
    if at in (0, len(values) - 1):
        return math.exp(place[at])
    left, middle, right = values[at - 1 : at + 2]
    shift = 0.5 * (left - right) / (left - 2 * middle + right)
    return math.exp(place[at] + shift * (place[at + 1] - place[at]))


def _bounds(denoiser: Denoiser, x0: Tensor) -> FloatArray:
    """Each image's bound for every rate, ``(n, len(BETAS))`` nats."""
    ends = [chain(beta, CHAIN) for beta in (BETAS[0], BETAS[-1])]
    gamma = np.geomspace(0.9 * min(one[-2] for one in ends), 1.1 * ends[0][0], 97)
    blind = denoising_loss(denoiser, x0, [1e-9, 1e-8]).draws[:, 0]
    curve: MMSECurve = denoising_loss(denoiser, x0, gamma)
    return first_step_bound(curve, blind, x0[0].numel(), BETAS, CHAIN)


def _mean(draws: FloatArray) -> Interval:
    """The mean of independent draws."""
    return Interval.normal(float(draws.mean()), float(draws.std(ddof=1)) / math.sqrt(len(draws)))
