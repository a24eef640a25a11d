"""Losses of tuning: the distance of samples to their endpoints in a feature space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ...models.extractors import Samples
from ...models.extractors.smooth import smooth_extractor
from ...models.reference import Extractor
from ..planning.model_loading import NamedModel
from ..planning.tuned_file import Loss
from ..sampling.shard import clamp
from ..scoring.feature_references import make_scoring_extractor


@dataclass(frozen=True)
class FeatureLoss:
    """Function from samples to features, after decoding and clamping to the model's limits."""

    model: Denoiser
    extractor: Extractor

    def __call__(self, x: Tensor) -> Tensor:
        """Return features ``(n, dim)`` float64, on the CPU; NaN for samples that are not finite."""
        finite = x.flatten(1).isfinite().all(1)
        images = clamp(self.model.decode(x[finite]), self.model.decoded_limits)[0]
        features = torch.full((len(x), self.extractor.dim), torch.nan, dtype=torch.float64)
        features[finite.cpu()] = torch.from_numpy(self.extractor(images))
        return features


def make_loss(subject: NamedModel, spec: str) -> tuple[FeatureLoss, Loss]:
    """Return the loss in features without 8-bit rounding, and its record in the tuning file.

    Raises a ValueError if the extractor cannot be made for the model, or is not smooth.
    """
    try:
        extractor = make_scoring_extractor(subject.name, model := subject.model, spec)
        if extractor is None:
            raise ValueError(
                "the model has no features of its own; give another extractor, such as pixels"
            )
        extractor = smooth_extractor(extractor, Samples(model.decoded_event, model.decoded_limits))
    except ValueError as error:
        raise ValueError(f"--loss {spec} on model {subject.name}: {error}") from error
    return FeatureLoss(model, extractor), Loss(extractor=spec, identity=extractor.identity)
