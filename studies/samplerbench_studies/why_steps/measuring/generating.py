"""Samples for the rows by model, sampler and grid, from latents that all samplers share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.metrics import FrechetEstimate, FrechetReference, estimate
from samplerbench.benchmarks.sampling import clamp, latents
from samplerbench.models import Denoiser, Reference
from samplerbench.models.cards import FashionExtractor
from samplerbench.models.exact import ExactModel
from samplerbench.models.extractors import Samples, make_extractor
from samplerbench.samplers import Grid, Sampler, karras, make

from ...arrays import FloatArray
from .effort import Effort

BATCH = 96
"""Samples of a batch, as many as exact models evaluate at a time."""
AXES, SAMPLES_PER_AXIS = 32, 18
"""Principal axes of a classifier's features for a Fréchet distance, and samples per axis. Below 15
samples per axis, the interval is not reliable.
"""
SAMPLES = AXES * SAMPLES_PER_AXIS
"""Number of samples for a distance that may decide a verdict."""
POINT = 2.0**-22
"""Share of the data's variance below which a set of samples counts as a point with an exact
distance. Its spread changes the distance by at most 2 sqrt(POINT), a thousandth of the variance.
"""


def grid_of(model: Denoiser, steps: int) -> Grid:
    """Return the levels of the karras schedule with 0 in place of the last level, ``sigma_min``.

    The usual schedule goes to ``sigma_min`` first and from there to 0. That last step has no
    visible effect, so two steps (80, 0.002, 0) would look like one, and five like four. Here two
    steps are (80, 2.5, 0).
    """
    return Grid((*karras(steps, model.sigma_min, model.sigma_max, to_zero=False).sigma[:-1], 0.0))


@torch.no_grad()
def generate(
    model: Denoiser,
    sampler: Sampler | str,
    grid: Grid | int,
    n: int,
    *,
    labels: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Return samples 0 … n - 1 of a model.

    Args:
        model: model on the CPU.
        sampler: sampler or its registry name.
        grid: levels, or a number of steps for :func:`grid_of`.
        n: number of samples; latent and noise of sample i do not depend on ``n``.
        labels: ``(n,)`` classes, ``model.classes`` for no class; None lets the model draw them.
        seed: seed of latents, labels and noise.

    Returns:
        ``(n, *event)``.
    """
    chosen = make(sampler) if isinstance(sampler, str) else sampler
    levels = grid_of(model, grid) if isinstance(grid, int) else grid
    parts = []
    for ids in torch.arange(n).split(BATCH):
        x, noise = latents(model, ids, seed, model.dtype)
        parts.append(
            chosen.sample(
                model.bind(ids, seed, None if labels is None else labels[ids]), x, levels, noise
            )
        )
    return torch.cat(parts)


def unlabelled(model: Denoiser, n: int) -> Tensor | None:
    """Return labels for "no class"; None for a model without classes."""
    return torch.full((n,), model.classes) if model.classes else None


class DistanceToData:
    """Fréchet distance from samples to a model's data, in the feature space of its reference.

    Args:
        model: model with a reference.
        n: number of samples of each set. They reduce a classifier's features to one axis for each
            :data:`SAMPLES_PER_AXIS` samples, at most :data:`AXES`. None takes all features.

    Attributes:
        reference: reference that samples are compared with.
        flags: for each distance measured so far, the reason against trusting its interval, or "".

    Raises:
        ValueError: the model has no reference.
    """

    def __init__(self, model: Denoiser, n: int | None = None) -> None:
        found = model.reference()
        if found is None:
            raise ValueError(
                f"model {model.name} has no reference to measure its samples by; take one that has"
            )
        if n is not None and isinstance(found.extractor, FashionExtractor):
            samples = Samples(model.decoded_event, model.decoded_limits, found)
            found = make_extractor(f"card:{min(AXES, n // SAMPLES_PER_AXIS)}", samples)
            assert isinstance(found, Reference)
        self._model, self.reference = model, found
        self._truth = FrechetReference(found.mean, found.cov)
        self.flags: list[str] = []

    @property
    def variance(self) -> float:
        """Total variance of the data's features, the scale of distances."""
        return float(np.trace(self.reference.cov))

    def features(self, x: Tensor) -> FloatArray:
        """Return features ``(n, d)`` of samples, clamped to the range of the data if there is
        one.
        """
        return self._of_images(self._model.decode(x))

    def _of_images(self, x: Tensor) -> FloatArray:
        return self.reference.extractor(clamp(x, self.reference.clamp)[0])

    def __call__(self, x: Tensor) -> FrechetEstimate:
        """Return the bias-corrected distance of samples ``(n, *event)``; add to :attr:`flags`."""
        return self.of_features(self.features(x))

    def of_images(self, x: Tensor) -> FrechetEstimate:
        """Return the distance of images ``(n, *decoded_event)``, which are not decoded."""
        return self.of_features(self._of_images(x))

    def of_features(self, features: FloatArray) -> FrechetEstimate:
        """Return the distance of features of :meth:`features`."""
        found = estimate(self._truth, features)
        spread = features.var(0, ddof=1).sum()
        self.flags.append(found.flag if spread > POINT * self.variance else "")
        return found


def exact_model(effort: Effort, name: str) -> ExactModel:
    """Return the exact model called ``name``, or its replacement.

    Raises:
        ValueError: the model is not exact.
    """
    model = effort.model(name)
    if not isinstance(model, ExactModel):
        raise ValueError(
            f"model {model.name} has no exact flow or posterior; put an "
            f"exact model in the place of {name}"
        )
    return model
