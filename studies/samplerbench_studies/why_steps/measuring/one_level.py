"""Measurements of row 9: networks trained at one noise level, and one trained at all levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.metrics import FrechetEstimate
from samplerbench.models import Denoiser, estimate_mean
from samplerbench.models.exact import ExactModel

from ...analysis.path_kl import path_kl
from ...arrays import FloatArray
from ..statistics.intervals import Interval, bootstrap
from ..statistics.spread import variance_kept
from .big_steps import LOW, levels, tabulated
from .effort import Effort
from .generating import BATCH, SAMPLES, DistanceToData, exact_model, generate
from .small_networks import ALL_LEVELS, real_images, small_network

SINGLE = {"only-level-0.3": 0.3, "only-level-1.5": 1.5, "only-level-10": 10.0}
"""Noise level of each network of one level, by name."""
COUNTS, FAST = (1, 2, 5, 10, 20, 50, 100), (1, 5, 20)
SAMPLER = "euler"
SHOWN = 10
"""Number of images stored as pictures."""
NATS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Numbers of steps for the loss in nats."""


class AtItsLevel(NamedTuple):
    """One-step denoising at the level of a network of one level.

    Attributes:
        level: level of the network.
        own, every: root mean square error per pixel on the same noisy images, of the network of
            this level and of the network of all levels.
        ratio: squared error of the former over the latter.
    """

    level: float
    own: Interval
    every: Interval
    ratio: Interval


class Made(NamedTuple):
    """Images that a network generates from pure noise.

    Attributes:
        distances: Fréchet distance to the data after each number of evaluations.
        errors: standard errors of ``distances``.
        kept: variance of the features over the data's.
        pictures: first images, after one evaluation and after the most, ``(2, n, *event)``.
    """

    distances: Sequence[Interval]
    errors: Sequence[float]
    kept: Sequence[Interval]
    pictures: NDArray[np.float32]


class Nats(NamedTuple):
    """Losses in nats of one level and of many levels, on an exact model.

    Attributes:
        start: divergence of the noisy data from pure noise at the level of each network.
        jump: divergence of one step from that level to nearly no noise.
        steps: divergence of the steps of a grid over all levels, at each number of :data:`NATS`.
    """

    start: Sequence[Interval]
    jump: Sequence[Interval]
    steps: Sequence[Interval]


class OneLevelResult(NamedTuple):
    """Measurements of row 9.

    Attributes:
        counts: numbers of evaluations.
        denoising: denoising errors at each of the single levels.
        single: images by repeated denoising with each network of one level, by name.
        every: images by a sampler with the network of all levels.
        nats: losses in nats on an exact model.
        variance: total variance of the data's features.
        flags: reasons against trusting the distances' intervals.
    """

    counts: Sequence[int]
    denoising: Sequence[AtItsLevel]
    single: Mapping[str, Made]
    every: Made
    nats: Nats
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> OneLevelResult:
    """Measure row 9: denoising at each level, images from pure noise, and losses in nats."""
    counts = FAST if effort.fast else COUNTS
    every = small_network(effort, ALL_LEVELS)
    own = {name: small_network(effort, name) for name in SINGLE}
    n = effort.samples(SAMPLES, 192)
    to_data = DistanceToData(every, n)
    denoising = [
        at_its_level(model, every, SINGLE[name], effort.samples(512, 128))
        for name, model in own.items()
    ]
    made = {
        name: judged(to_data, chain(model, at.level, at.own.value, counts, n))
        for (name, model), at in zip(own.items(), denoising, strict=True)
    }
    return OneLevelResult(
        counts,
        denoising,
        made,
        judged(to_data, [generate(every, SAMPLER, steps, n) for steps in counts]),
        lost(effort),
        to_data.variance,
        to_data.flags,
    )


def at_its_level(own: Denoiser, every: Denoiser, level: float, n: int) -> AtItsLevel:
    """Return the errors of both networks on the same noisy held-out images."""
    drawn = own.data(n, 0)
    images, labels = real_images() if drawn is None else (drawn, None)
    x0, y = images[:n], None if labels is None else labels[:n]
    noisy = x0 + level * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)).to(x0)
    one, all_ = (squares(model, noisy, x0, level, y) for model in (own, every))
    return AtItsLevel(
        level,
        bootstrap(lambda rows: math.sqrt(one[rows].mean()), len(one)),
        bootstrap(lambda rows: math.sqrt(all_[rows].mean()), len(all_)),
        bootstrap(lambda rows: float(one[rows].mean() / all_[rows].mean()), len(one)),
    )


@torch.no_grad()
def squares(
    model: Denoiser, noisy: Tensor, x0: Tensor, level: float, labels: Tensor | None
) -> FloatArray:
    """Return the mean squared error per pixel of each image, ``(n,)``."""
    parts = [
        model.denoise(noisy[rows], level, None if labels is None else labels[rows])
        for rows in torch.arange(len(x0)).split(BATCH)
    ]
    return (torch.cat(parts) - x0).double().flatten(1).square().mean(1).numpy()


@torch.no_grad()
def chain(
    model: Denoiser, level: float, error: float, counts: Sequence[int], n: int
) -> list[Tensor]:
    """Return images of a network of one level after each number of evaluations.

    It denoises pure noise of the level, then repeatedly adds noise and denoises (Bengio et al.
    2013, arXiv:1305.6663). The posterior of the clean image is approximated by a Gaussian about the
    prediction with the network's error as its standard deviation. A draw from it plus noise of the
    level is the prediction plus noise of both variances.

    Args:
        model: network of one level.
        level: level of the network.
        error: root mean square error per pixel at this level.
        counts: numbers of evaluations, rising.
        n: number of images.
    """
    width, found = math.hypot(level, error), []
    for ids in torch.arange(n).split(BATCH):
        generator = torch.Generator().manual_seed(int(ids[0]))
        shape, bound = (len(ids), *model.event), model.bind(ids, 0)

        def noise(shape=shape, generator=generator) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=model.dtype)

        x, kept = bound(level * noise(), level), []
        for count in range(1, counts[-1] + 1):
            if count > 1:
                x = bound(x + width * noise(), level)
            if count in counts:
                kept.append(x)
        found.append(kept)
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def judged(to_data: DistanceToData, images: Sequence[Tensor]) -> Made:
    """Return distances and variances of images."""
    features = [to_data.features(x) for x in images]
    found: list[FrechetEstimate] = [to_data.of_features(one) for one in features]
    return Made(
        [Interval(one.value, one.low, one.high) for one in found],
        [one.se for one in found],
        [variance_kept(one, to_data.variance) for one in features],
        np.stack([images[place][:SHOWN].float().numpy() for place in (0, -1)]),
    )


def lost(effort: Effort) -> Nats:
    """Return the losses of one level and of many, in nats, on ``fashion-mppca``."""
    model, n = exact_model(effort, "fashion-mppca"), effort.samples(512, 96)
    curve = tabulated(model, n, 49 if effort.fast else 97)
    return Nats(
        [start_loss(model, level, n) for level in SINGLE.values()],
        [Interval.of(path_kl(curve, (level, LOW))) for level in SINGLE.values()],
        [Interval.of(path_kl(curve, levels("karras", steps))) for steps in NATS],
    )


def start_loss(model: ExactModel, level: float, n: int) -> Interval:
    """Return KL(p_level || N(0, level² I)) in nats, of noisy data from pure noise.

    It is a Monte Carlo estimate with exact densities.
    """
    x0 = model.sample(n, 0)
    z = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1), dtype=x0.dtype)
    x = x0 + level * z
    pure = -0.5 * (x / level).flatten(1).square().sum(1) - model.dim * (
        math.log(level) + 0.5 * math.log(2 * math.pi)
    )
    found = estimate_mean((model.log_density(x, level) - pure).numpy())
    return Interval.normal(found.value, found.error)
