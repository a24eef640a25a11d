"""Measurements of row 14: cost and images of the same sampler on pixels and on latents."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ttest_ind
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from samplerbench.benchmarks.metrics import FrechetEstimate, paired_difference
from samplerbench.benchmarks.sampling import latents
from samplerbench.models import Denoiser
from samplerbench.models.cards import LatentNetwork
from samplerbench.samplers import make

from ...arrays import FloatArray
from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .generating import BATCH, SAMPLES, DistanceToData, generate, grid_of
from .small_networks import ALL_LEVELS, network_on_latents, real_images, small_network

LATENT = "fashion-latent"
REPEATED = (1, 2)
"""Seeds of further trainings of each side, in cards such as ``all-levels-1`` and ``latents-1``."""
SAMPLER = "dpmpp_2m"
COUNTS, FAST = (1, 2, 3, 5, 8, 12, 20, 30), (1, 3, 5, 8, 12, 20)
CONVERGED, FAST_CONVERGED = 100, 40
"""Steps of the converged samples for comparison."""
NEAR = 0.1
"""Error, as a share of the spread of images, below which an image counts as converged."""
TIMED = 8
"""Steps of a timed run."""
SHOWN = 10
"""Number of images stored as pictures."""


class Price(NamedTuple):
    """Cost of a model.

    Attributes:
        evaluation: multiply-adds of one evaluation of one sample.
        decoding: multiply-adds of decoding one sample; 0 if samples are images.
        network, solver, decoder: milliseconds of one core per sample, for each round: of one
            evaluation, of the rest of a step, and of decoding.
        training: core seconds of the training by the card; NaN if unknown.
        before: core seconds of the autoencoder's training; 0 without one, NaN without a card.
    """

    evaluation: float
    decoding: float
    network: Sequence[float]
    solver: Sequence[float]
    decoder: Sequence[float]
    training: float
    before: float


class Course(NamedTuple):
    """Images of one training at rising numbers of steps.

    Attributes:
        distances: Fréchet distance to the data at each number of steps.
        errors: root mean square distance of the images to the converged images from the same
            latents, as a share of the spread of the converged images.
        needed: steps at which the errors fall to :data:`NEAR`; NaN if they do not.
        price: cost of the model; repeated trainings share the first one's times.
        pictures: first images at the numbers of steps of :func:`pictured`, ``(rows, n,
            *decoded_event)``.
    """

    distances: Sequence[Interval]
    errors: Sequence[Interval]
    needed: float
    price: Price
    pictures: NDArray[np.float32]


class LatentSpaceResult(NamedTuple):
    """Measurements of row 14.

    Attributes:
        counts: numbers of steps.
        pixels, latents: results of each training on pixels and on latents; the first is shown.
        more: steps needed on latents over steps needed on pixels. The interval is over trainings.
        gap: distance on latents less the distance on pixels, after the most steps. The interval is
            over trainings.
        lost: distance of real images after encoding and decoding, less the distance of real images;
            None for a model without encoder.
        variance: total variance of the data's features.
        flags: reasons against trusting the distances' intervals.
    """

    counts: Sequence[int]
    pixels: Sequence[Course]
    latents: Sequence[Course]
    more: Interval
    gap: Interval
    lost: Interval | None
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> LatentSpaceResult:
    """Measure row 14: one sampler with rising numbers of steps, on pixels and on latents."""
    counts = FAST if effort.fast else COUNTS
    first = (small_network(effort, ALL_LEVELS), effort.model(LATENT))
    n = effort.samples(SAMPLES, 192)
    to_data = [DistanceToData(model, n) for model in first]
    prices = price_of(first, 3 if effort.fast else 9)

    def course(side: int, model: Denoiser, seed: int) -> Course:
        images = [generate(model, SAMPLER, steps, n, seed=seed) for steps in counts]
        squares = shares(model, images, FAST_CONVERGED if effort.fast else CONVERGED, seed)
        seconds, before = trained(model)
        return Course(
            [known(to_data[side](x)) for x in images],
            [rms(one) for one in squares],
            steps_needed(counts, squares),
            prices[side]._replace(training=seconds, before=before),
            np.stack([model.decode(images[k][:SHOWN]).float().numpy() for k in pictured(counts)]),
        )

    pixels, on_latents = (
        [course(side, model, seed) for seed, model in enumerate((first[side], *others))]
        for side, others in enumerate(repeated(effort, *first))
    )
    return LatentSpaceResult(
        counts,
        pixels,
        on_latents,
        Interval(
            *np.exp(
                difference(
                    *([math.log(one.needed) for one in side] for side in (on_latents, pixels))
                )
            ).tolist()
        ),
        difference(*([one.distances[-1].value for one in side] for side in (on_latents, pixels))),
        lost_by(first[1], to_data[1]),
        to_data[0].variance,
        [flag for to in to_data for flag in to.flags],
    )


def repeated(
    effort: Effort, pixels: Denoiser, on_latents: Denoiser
) -> tuple[Sequence[Denoiser], Sequence[Denoiser]]:
    """Return the further trainings of each side; a replacing model is returned again."""
    return (
        [
            pixels if ALL_LEVELS in effort.models else small_network(effort, f"{ALL_LEVELS}-{k}")
            for k in REPEATED
        ],
        [
            on_latents if LATENT in effort.models else network_on_latents(f"latents-{k}")
            for k in REPEATED
        ],
    )


def difference(above: Sequence[float], below: Sequence[float]) -> Interval:
    """Return the difference of the means of two sides, each of a few independent values.

    The interval is Welch's (Biometrika 34:28, 1947); it is NaN if a value is.
    """
    found = ttest_ind(above, below, equal_var=False)
    low, high = found.confidence_interval(0.95)  # type: ignore[attr-defined]
    return Interval(float(np.mean(above) - np.mean(below)), float(low), float(high))


def pictured(counts: Sequence[int]) -> list[int]:
    """Return the indices of numbers of steps with pictures: the fewest, a few, the most."""
    return sorted({0, len(counts) // 3, len(counts) - 1})


def known(one: FrechetEstimate) -> Interval:
    """Return a distance with its own interval, which is not symmetric."""
    return Interval(one.value, one.low, one.high)


def shares(model: Denoiser, samples: Sequence[Tensor], converged: int, seed: int) -> FloatArray:
    """Return squared distances of images to the converged images, over their spread, ``(counts,
    n)``.

    Independent images have 2.
    """
    n = len(samples[0])
    end = model.decode(generate(model, SAMPLER, converged, n, seed=seed)).flatten(1).double()
    spread = float(end.var(0).sum())
    return np.stack(
        [(model.decode(x).flatten(1) - end).square().sum(1).numpy() / spread for x in samples]
    )


def rms(squares: FloatArray) -> Interval:
    """Return the root of the mean, with its interval."""
    return bootstrap(lambda rows: math.sqrt(squares[rows].mean()), len(squares), draws=100)


def steps_needed(counts: Sequence[int], squares: FloatArray) -> float:
    """Return the number of steps at which the error falls to :data:`NEAR`; NaN if it does not.

    Logarithms are interpolated between measured numbers of steps.
    """
    errors = np.minimum.accumulate(np.sqrt(squares.mean(1)))
    if not errors[-1] <= NEAR <= errors[0]:
        return math.nan
    return float(np.exp(np.interp(-math.log(NEAR), -np.log(errors), np.log(counts))))


def lost_by(model: Denoiser, to_data: DistanceToData) -> Interval | None:
    """Return the distance that encoding and decoding adds to real images; None without encoder."""
    if not isinstance(model, LatentNetwork):
        return None
    images, _ = real_images()
    through, own = to_data(model.decoder.encode(images)), to_data.of_images(images)
    return Interval.normal(*paired_difference(through, own))


def price_of(models: Sequence[Denoiser], rounds: int) -> list[Price]:
    """Return the cost of each model; models are timed in turn, under equal conditions."""
    taken = [[timed(model) for model in models] for _ in range(rounds)]
    return [
        Price(
            operations(model),
            decoding(model),
            [network for network, _, _ in times],
            [solver for _, solver, _ in times],
            [decoder for _, _, decoder in times],
            *trained(model),
        )
        for model, times in zip(models, zip(*taken, strict=True), strict=True)
    ]


def operations(model: Denoiser) -> float:
    """Return the multiply-adds of one evaluation of one sample."""
    ids = torch.arange(2)
    x, _ = latents(model, ids, 0, model.dtype)
    bound = model.bind(ids, 0)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        bound(x, model.sigma_max)
    return counted.get_total_flops() / (2 * len(ids))


def decoding(model: Denoiser) -> float:
    """Return the multiply-adds of decoding one sample."""
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model.decode(torch.zeros(2, *model.event, dtype=model.dtype))
    return counted.get_total_flops() / 4


def timed(model: Denoiser) -> tuple[float, float, float]:
    """Return core milliseconds per sample: of an evaluation, the rest of a step, decoding."""
    ids = torch.arange(BATCH)
    x, noise = latents(model, ids, 0, model.dtype)
    bound, inside = model.bind(ids, 0), 0.0

    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal inside
        start = time.process_time()
        d = bound(x, sigma)
        inside += time.process_time() - start
        return d

    start = time.process_time()
    made = make(SAMPLER).sample(denoise, x, grid_of(model, TIMED), noise)
    whole = time.process_time() - start
    start = time.process_time()
    model.decode(made)
    decoder = 0.0 if model.decoder is None else time.process_time() - start
    scale = 1000 / BATCH
    return scale * inside / TIMED, scale * (whole - inside) / TIMED, scale * decoder


def trained(model: Denoiser) -> tuple[float, float]:
    """Return core seconds of the training (NaN: unknown) and the autoencoder's (0 without one)."""
    card = getattr(model, "card", None)
    if card is None:
        return math.nan, math.nan
    own = card.training
    return (
        float(own.get("seconds", math.nan)),
        float(own.get("autoencoder", {}).get("seconds", 0)),
    )
