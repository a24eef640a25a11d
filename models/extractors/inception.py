"""``inception:WEIGHTS``, the 2048 features of the FID by torch-fidelity's Inception-v3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..checkpoints.opening import hash_of_file
from . import Samples, extractor
from .rgb import RgbNetwork, checked_pixel_limits, explain_errors, import_optional

DIM = 2048


@extractor("inception", usage="inception:WEIGHTS")
def load(weights: str, samples: Samples) -> RgbNetwork:
    """Load an extractor of the FID's 2048 features from torch-fidelity's file ``weights``.

    ``inception-v3-compat`` agrees with the FID's original network, and resizes images to 299 x 299.
    """
    limits = checked_pixel_limits("inception", samples)  # before a long reading of the weights
    network = _load_network(path := Path(weights).expanduser())
    made_of = f"inception-v3-compat-{DIM}-{hash_of_file(path)[:16]}"
    space = f"inception-v3-{DIM}"
    return RgbNetwork(limits, network, lambda net, images: net(images)[0], DIM, made_of, space)


def _load_network(weights: Path) -> Any:
    """Return the network; raise a ValueError if the file is missing or has other contents."""
    if not weights.is_file():
        problem = f"inception:{weights}: there is no such file"
        raise ValueError(f"{problem}; give the weights that torch-fidelity publishes")
    library = import_optional(
        "torch_fidelity.feature_extractor_inceptionv3",
        "inception needs torch-fidelity",
        "'samplerbench[inception]'",
    )
    with explain_errors(f"{weights.name} does not hold torch-fidelity's Inception weights"):
        torch.load(weights, map_location="cpu", weights_only=True)
        return library.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )
