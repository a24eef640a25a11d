"""``inception:WEIGHTS``, the 2048 features of the FID by torch-fidelity's Inception-v3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import Samples, extractor
from .rgb import RgbNetwork, checked_pixel_limits, error_in_short, hash_of_file

DIM = 2048


@extractor("inception", usage="inception:WEIGHTS")
def load(weights: str, samples: Samples) -> RgbNetwork:
    """Load the 2048 features of the FID: torch-fidelity's Inception-v3, with its file of weights.

    The network is ``inception-v3-compat``, which agrees with the FID's original and resizes to 299
    x 299 by itself.
    """
    if not weights:
        raise ValueError(
            "inception needs the file of its weights, which torch-fidelity "
            "publishes; write inception:WEIGHTS"
        )
    limits = checked_pixel_limits("inception", samples)  # before a long reading of the weights
    network = _load_network(Path(weights))
    made_of = f"inception-v3-compat-{DIM}-{hash_of_file(Path(weights))}"
    return RgbNetwork(limits, network, _features, DIM, made_of, f"inception-v3-{DIM}")


def _features(network: Any, images: Tensor) -> Tensor:
    return network(images)[0]


def _load_network(weights: Path) -> Any:
    """Return the network; refuse a file of more than tensors, since torch-fidelity unpickles it."""
    if not weights.is_file():
        raise ValueError(
            f"inception:{weights}: there is no such file; give the weights "
            "that torch-fidelity publishes"
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise ValueError(
            "inception needs torch-fidelity; pip install 'samplerbench[inception]'"
        ) from error
    try:
        torch.load(weights, map_location="cpu", weights_only=True)
        return FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )
    except Exception as error:  # a file of anything can raise anything
        raise ValueError(
            f"{weights.name} does not hold torch-fidelity's Inception weights ({error_in_short(error)})"
        ) from error
