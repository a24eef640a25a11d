"""Distance on networks: Fréchet distance to a model's converged samples, divided by its floor."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from ...models.reference import Extractor
from ..metrics.estimators.frechet import population_estimate
from ..metrics.estimators.rows import FloatArray
from ..planning.model_loading import load_model
from ..sampling.shard import clamp
from .constants import AXES, NETWORK_SAMPLES


class NetworkReference(NamedTuple):
    """Converged samples of a network, in the space in which a solver's samples are compared.

    Attributes:
        extractor: feature extractor of the network's card.
        limits: range to which samples are clamped.
        axes: ``(d, AXES)`` first principal axes of the features of converged samples.
        converged: ``(n, AXES)`` features of converged samples along the axes.
        floor: 1.96 standard errors of the distance between the first :data:`.constants.NETWORK_SAMPLES`
            converged samples and the others. A distance below it is not significantly above 0.
    """

    extractor: Extractor
    limits: tuple[float, float] | None
    axes: FloatArray
    converged: FloatArray
    floor: float


@cache
def network_reference(name: str) -> NetworkReference:
    """Return the converged samples of a shipped network, from this folder or else from its card."""
    reference = load_model(name).model.reference()
    assert reference is not None
    path = Path(__file__).with_name(f"{name}.safetensors")
    if path.exists():
        tensors = load_file(path)
        axes, along = tensors["axes"].numpy(), tensors["features"].double().numpy()
    else:
        assert reference.converged is not None
        _, axes = np.linalg.eigh(np.cov(reference.converged, rowvar=False))
        axes = np.ascontiguousarray(axes[:, ::-1][:, :AXES])
        along = reference.converged @ axes
    split = population_estimate(along[:NETWORK_SAMPLES], along[NETWORK_SAMPLES:])
    return NetworkReference(
        reference.extractor, reference.clamp, axes, along, 1.96 * float(split.se)
    )


def distance_over_floor(samples: Tensor, known: NetworkReference) -> float:
    """Return the Fréchet distance to converged samples, divided by the floor; 0 if negative.

    The bias of both sides is removed, so that the distance scatters about 0 for converged samples.
    """
    features = known.extractor(clamp(samples, known.limits)[0]) @ known.axes
    return max(0.0, float(population_estimate(features, known.converged).value)) / known.floor
