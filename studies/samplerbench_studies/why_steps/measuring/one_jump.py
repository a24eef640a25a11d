"""Measurements of row 1: samples of few steps against the mean of the data and the data."""

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
"""Samples of each model in a full run; half of them above 50 steps."""
STEPS, FAST_STEPS = (1, 2, 5, 10, 20, 50, 200), (1, 2, 5, 10, 20)
REAL, FAST_REAL, LEAST = 2000, 1000, 160
SHOWN = 10
"""Samples that are kept as pictures."""


class JumpResult(NamedTuple):
    """The measurements of row 1 on one model at one number of steps.

    Attributes:
        steps: N.
        spread: E |x - mean|² over the data's, about the mean of the class where the model is told
            one: 0 for the mean, 1 for data.
        among: share of the samples that pass for real (:class:`..statistics.neighbourhoods.Neighbourhoods`).
        near: in how many neighbourhoods of real samples they are, the median.
        unseen, usual: the same two of real samples that nobody has seen: what is to be reached.
        to_data, to_converged: Fréchet distances, in squared feature units; None with fewer samples
            than features.
        spectrum: power of the samples in each ring of spatial frequency, over the data's; empty
            where samples are no pictures.
        pictures: the first samples, ``(n, *event)``.
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
"""By model, one for each number of steps."""


def measure(effort: Effort) -> JumpResults:
    """Samples of Euler's method with N steps, for every N, on every model."""
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
    """The data that samples of a model are compared with.

    Args:
        model: on the CPU, with a reference and moments.
        count: held-out data, and converged samples.

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
        """Euler's method on the probability flow with so many steps.

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
        """E |x - mean|² over the data's, about the mean of the class where the model draws one."""
        labels = self.model.draw_labels(torch.arange(len(x)), 0)
        about = (
            self.mean[labels.numpy()] if self.mean.ndim == 2 and labels is not None else self.mean
        )
        found = estimate_mean(
            np.square(x.double().flatten(1).numpy() - about).sum(1) / np.trace(self.cov)
        )
        return Interval.normal(found.value, found.error)


def ring_power(x: ArrayLike) -> FloatArray:
    """Mean power of pictures ``(n, c, h, w)`` in the rings of spatial frequency 1, 2, … cycles an
    image, up to half the side's pixels.

    Empty for samples that are no pictures.
    """
    pictures = np.asarray(x, dtype=np.float64)
    if pictures.ndim != 4 or min(pictures.shape[-2:]) < 4:
        return np.empty(0)
    power = np.square(np.abs(np.fft.fft2(pictures, norm="ortho"))).mean((0, 1))
    rows, columns = (np.fft.fftfreq(n, 1 / n) for n in power.shape)
    ring = np.rint(np.hypot(rows[:, None], columns[None, :]))
    return np.array([power[ring == k].mean() for k in range(1, min(power.shape) // 2 + 1)])


def spectrum_of_moments(mean: FloatArray, cov: FloatArray, event: tuple[int, ...]) -> FloatArray:
    """:func:`ring_power` of data with these moments (means of equally frequent classes, or one),
    without any samples.

    E |f·x|² = |f·mean|² + sum_j |f·c_j|² for every frequency f, with cov = sum_j c_j c_j^T.
    """
    values, vectors = np.linalg.eigh(cov)
    factor = (vectors * np.sqrt(values.clip(min=0))).T
    means = np.atleast_2d(mean)
    return ring_power(means.reshape(-1, *event)) + len(factor) * ring_power(
        factor.reshape(-1, *event)
    )
