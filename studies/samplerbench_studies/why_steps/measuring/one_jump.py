"""Measurements of row 1: samples of few steps, compared with the data and their mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from samplerbench.benchmarks.metrics import FrechetReference, binomial_interval, population_estimate
from samplerbench.benchmarks.metrics import estimate as estimate_fixed
from samplerbench.models import Denoiser, estimate_mean

from ...arrays import FloatArray
from ..statistics.intervals import Interval
from ..statistics.neighbourhoods import Neighbourhoods
from .effort import Effort
from .generating import DistanceToData, generate

MODELS = {"fashion": 320, "fashion-mppca": 512, "wavelet": 512}
"""Numbers of samples in a full run, by model; half as many above 50 steps."""
STEPS, FAST_STEPS = (1, 2, 5, 10, 20, 50, 200), (1, 2, 5, 10, 20)
REAL, FAST_REAL, LEAST = 2000, 1000, 160
SHOWN = 10
"""Number of samples stored as pictures."""


class JumpResult(NamedTuple):
    """Measurements of row 1 on one model at one number of steps.

    Attributes:
        steps: number of steps N.
        spread: E |x - mean|² over the data's, about the class mean for a model with classes. The
            mean has 0, data have 1.
        among: share of the samples that pass for real (:class:`..statistics.neighbourhoods.Neighbourhoods`).
        near: median number of neighbourhoods of real samples that contain a sample.
        unseen, usual: values of ``among`` and ``near`` for held-out real samples.
        to_data, to_converged: Fréchet distances, in squared feature units; None without more
            samples than features.
        spectrum: power of the samples in each ring of spatial frequency, over the data's; empty if
            samples are no pictures.
        pictures: first samples, ``(n, *event)``.
    """

    steps: int
    spread: Interval
    among: Interval
    near: float
    unseen: float
    usual: float
    to_data: Interval | None
    to_converged: Interval | None
    spectrum: FloatArray
    pictures: NDArray[np.float32]


JumpResults = dict[str, list[JumpResult]]
"""Results by model, one for each number of steps."""


def measure(effort: Effort) -> JumpResults:
    """Measure row 1: samples of Euler's method with N steps, for every N and model."""
    steps = FAST_STEPS if effort.fast else STEPS
    data = {
        name: ComparisonData(effort.model(name), FAST_REAL if effort.fast else REAL)
        for name in MODELS
    }
    return {
        name: [data[name].measure(n, _count(effort, full, n)) for n in steps]
        for name, full in MODELS.items()
    }


def _count(effort: Effort, full: int, steps: int) -> int:
    return effort.samples(full, LEAST) if steps <= 50 else max(LEAST, full // 2)


class ComparisonData:
    """Data that samples of a model are compared with.

    Args:
        model: model on the CPU, with a reference and moments.
        count: largest number of held-out samples in each half, and of converged samples.

    Raises:
        ValueError: the model has no reference or no moments.
    """

    def __init__(self, model: Denoiser, count: int) -> None:
        reference, moments = model.reference(), model.moments()
        if reference is None or moments is None:
            raise ValueError(
                f"model {model.name} does not know its data; give it a reference() and moments()"
            )
        self.model, self._to_data = model, DistanceToData(model)
        self._truth = FrechetReference(reference.mean, reference.cov)
        held_out = reference.held_out(2 * count)
        half = len(held_out) // 2
        self.neighbourhoods = Neighbourhoods(held_out[:half], held_out[half:])
        # Samples of an exact model's data are what converged samples are.
        self.converged = (
            held_out[:count] if reference.converged is None else reference.converged[:count]
        )
        self.mean, self.cov = moments
        self._spectrum = spectrum_of_moments(self.mean, self.cov, model.event)

    def measure(self, steps: int, count: int) -> JumpResult:
        """Measure ``count`` samples of Euler's method on the probability flow with ``steps`` steps.

        One step is the jump x = D(x_T, sigma_max).
        """
        x = generate(self.model, "euler", steps, count)
        seen = self._to_data.features(x)
        near = self.neighbourhoods.near(seen)
        hits = int(self.neighbourhoods.passes(near).sum())
        return JumpResult(
            steps,
            self.spread(x),
            Interval(hits / count, *binomial_interval(hits, count)),
            float(np.median(near)),
            self.neighbourhoods.unseen,
            self.neighbourhoods.usual,
            *self._distances(seen),
            ring_power(x) / self._spectrum if len(self._spectrum) else self._spectrum,
            x[:SHOWN].float().numpy(),
        )

    def _distances(self, seen: FloatArray) -> tuple[Interval | None, Interval | None]:
        if len(seen) <= seen.shape[1]:
            return None, None
        both = estimate_fixed(self._truth, seen), population_estimate(seen, self.converged)
        fixed, population = (Interval(one.value, one.low, one.high) for one in both)
        return fixed, population

    def spread(self, x: Tensor) -> Interval:
        """Return E |x - mean|² over the data's, about the class mean for a model with classes."""
        labels = self.model.draw_labels(torch.arange(len(x)), 0)
        about = (
            self.mean[labels.numpy()] if self.mean.ndim == 2 and labels is not None else self.mean
        )
        found = estimate_mean(
            np.square(x.double().flatten(1).numpy() - about).sum(1) / np.trace(self.cov)
        )
        return Interval.normal(found.value, found.error)


def ring_power(x: ArrayLike) -> FloatArray:
    """Return the mean power of pictures ``(n, c, h, w)`` in rings of spatial frequency.

    Rings have 1, 2, … cycles per image, up to half the side in pixels. The result is empty for
    samples that are no pictures.
    """
    pictures = np.asarray(x, dtype=np.float64)
    if pictures.ndim != 4 or min(pictures.shape[-2:]) < 4:
        return np.empty(0)
    power = np.square(np.abs(np.fft.fft2(pictures, norm="ortho"))).mean((0, 1))
    rows, columns = (np.fft.fftfreq(n, 1 / n) for n in power.shape)
    ring = np.rint(np.hypot(rows[:, None], columns[None, :]))
    return np.array([power[ring == k].mean() for k in range(1, min(power.shape) // 2 + 1)])


def spectrum_of_moments(mean: FloatArray, cov: FloatArray, event: tuple[int, ...]) -> FloatArray:
    """Return the :func:`ring_power` of data with given moments, without samples.

    ``mean`` is one mean or the means of equally frequent classes. E |f·x|² = |f·mean|² + sum_j
    |f·c_j|² for every frequency f, with cov = sum_j c_j c_j^T.
    """
    values, vectors = np.linalg.eigh(cov)
    factor = (vectors * np.sqrt(values.clip(min=0))).T
    means = np.atleast_2d(mean)
    return ring_power(means.reshape(-1, *event)) + len(factor) * ring_power(
        factor.reshape(-1, *event)
    )
