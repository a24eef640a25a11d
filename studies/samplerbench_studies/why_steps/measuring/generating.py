"""Samples for the rows: a model, a sampler, a grid, and latents that every sampler shares."""

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
"""Samples of a batch: exact models evaluate as many at a time, whatever is asked for."""
AXES, SAMPLES_PER_AXIS = 32, 18
"""Principal axes of a classifier's features that a Fréchet distance is taken in, and the samples that
each needs: below 15 its interval is not to be trusted.
"""
SAMPLES = AXES * SAMPLES_PER_AXIS
"""Samples of a set whose distance may decide a verdict."""
POINT = 2.0**-22
"""A set with this share of the data's variance is as good as a point, whose distance is exact: the
spread adds 2 sqrt(POINT), a thousandth of the variance, at most.
"""


def grid_of(model: Denoiser, steps: int) -> Grid:
    """The levels of the karras schedule, of which the last, ``sigma_min``, is 0 itself.

    The schedule as others use it goes to ``sigma_min`` first and from there to 0. That last step
    changes nothing that can be seen, so two steps (80, 0.002, 0) would look like one and five like
    four: of the schedule, not of the number of steps. Here two are 80, 2.5, 0.
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
    """Samples 0 … n - 1 of a model.

    Args:
        model: on the CPU.
        sampler: one, or its registry name.
        grid: levels, or a number of steps of :func:`grid_of`.
        n: number of samples; sample i starts from the same latent, and gets the same noise,
            whatever n is.
        labels: ``(n,)`` classes, ``model.classes`` for none; None lets the model draw them.
        seed: of latents, labels and noise.

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
    """Labels that ask for no class in particular; None for a model without classes."""
    return torch.full((n,), model.classes) if model.classes else None


class DistanceToData:
    """The Fréchet distance from samples to a model's data, in the feature space of its reference.

    Args:
        model: one with a reference.
        n: samples of each set. Of a classifier's features as many axes are taken as so many samples
            allow, at most :data:`AXES`; None takes all features.

    Attributes:
        reference: what samples are compared with.
        flags: of each distance that was measured so far, why its interval is not to be trusted;
            empty if it is.

    Raises:
        ValueError: it has none.
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
        """Total variance of the data's features, with which distances are compared."""
        return float(np.trace(self.reference.cov))

    def features(self, x: Tensor) -> FloatArray:
        """Features ``(n, d)`` of samples, clamped to the range of the data where they have one."""
        return self._of_images(self._model.decode(x))

    def _of_images(self, x: Tensor) -> FloatArray:
        return self.reference.extractor(clamp(x, self.reference.clamp)[0])

    def __call__(self, x: Tensor) -> FrechetEstimate:
        """The distance of samples ``(n, *event)``, its bias removed.

        Whatever is wrong with it goes into :attr:`flags`.
        """
        return self.of_features(self.features(x))

    def of_images(self, x: Tensor) -> FrechetEstimate:
        """The same of images that need not be decoded, ``(n, *decoded_event)``."""
        return self.of_features(self._of_images(x))

    def of_features(self, features: FloatArray) -> FrechetEstimate:
        """The same of what :meth:`features` gave."""
        found = estimate(self._truth, features)
        spread = features.var(0, ddof=1).sum()
        self.flags.append(found.flag if spread > POINT * self.variance else "")
        return found


def exact_model(effort: Effort, name: str) -> ExactModel:
    """The model of that name, or what stands in for it.

    Raises:
        ValueError: it is not exact.
    """
    model = effort.model(name)
    if not isinstance(model, ExactModel):
        raise ValueError(
            f"model {model.name} has no exact flow or posterior; put an "
            f"exact model in the place of {name}"
        )
    return model
