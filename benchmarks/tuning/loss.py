"""Losses of tuning: the distance of samples to their endpoints in a feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models.checkpoints.opening import error_in_words
from ...models.denoiser import Denoiser
from ...models.extractors.rgb import RgbNetwork
from ...models.reference import Extractor
from ..planning.models import NamedModel
from ..planning.tuned_file import Loss
from ..sampling.shard import clamp
from ..scoring.references import make_scoring_extractor

STEP = 1e-3
"""Change of a value, as a share of the data's range, that smooth features must follow: a quarter of a grey level."""
LEAST_SMOOTH = 0.5
"""Largest second difference of smooth features over their first. It is 1 for rounded values."""


@dataclass(frozen=True)
class FeatureLoss:
    """Distance of samples to their endpoints in an extractor's features.

    The features phi are those that a run scores: of decoded samples, clamped to the range of the
    model's data. The distance of a sample is |phi(x) - phi(endpoint)| / sqrt(features).
    """

    model: Denoiser
    extractor: Extractor

    def __call__(self, x: Tensor) -> Tensor:
        """Return features ``(n, dim)`` float64 on the CPU of samples ``(n, *event)``; NaN for a row that is not finite."""
        finite = x.flatten(1).isfinite().all(1)
        images = clamp(self.model.decode(x[finite]), self.model.decoded_limits)[0]
        features = torch.full((len(x), self.extractor.dim), torch.nan, dtype=torch.float64)
        features[finite.cpu()] = torch.from_numpy(self.extractor(images))
        return features


def make_loss(subject: NamedModel, spec: str) -> tuple[FeatureLoss, Loss]:
    """Return the loss in the features of the extractor ``spec``, and its description for an entry.

    Networks of 8-bit images get images that are not rounded, since slopes are differences between
    images that differ by less than a grey level.

    Raises:
        ValueError: the extractor cannot be made for the model, or its features are not smooth.
    """
    model, where = subject.model, f"--loss {spec} on model {subject.name}"
    try:
        extractor = make_scoring_extractor(subject.name, model, spec)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if extractor is None:
        raise ValueError(
            f"{where}: the model has no features of its own; give another extractor, such as --loss "
            "pixels, or leave --loss out"
        )
    if isinstance(extractor, RgbNetwork):
        extractor = extractor.unrounded()
    if reason := _why_not_smooth(extractor, model):
        raise ValueError(
            f"{where}: its features {reason}, so that small steps do not show in them; give an "
            "extractor that does not round, such as --loss card, or leave --loss out"
        )
    return FeatureLoss(model, extractor), Loss(extractor=spec, identity=extractor.identity)


def _why_not_smooth(extractor: Extractor, model: Denoiser) -> str:
    """Return the reason why small changes of images do not change features in proportion; "" if they do."""
    low, high = model.decoded_limits or (-1.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    x, direction = torch.rand(2, 2, *model.decoded_event, generator=generator)
    images = [low + (high - low) * (0.25 + x / 2 + k * STEP * direction) for k in range(3)]
    try:
        first, middle, last = map(extractor, images)
    except Exception as error:
        return f"need 8-bit images ({error_in_words(error)})"
    bend = np.linalg.norm(first - 2 * middle + last)
    return (
        "" if bend < LEAST_SMOOTH * np.linalg.norm(last - first) else "round images or are constant"
    )
