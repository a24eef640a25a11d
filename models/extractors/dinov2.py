"""``dinov2:EVALUATOR:WEIGHTS``, the features of FD_DINOv2, from its authors' file of weights."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoints.opening import CheckpointError, open_checkpoint, state_dict
from . import Samples, extractor
from .rgb import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RESIZINGS,
    Resize,
    RgbNetwork,
    checked_pixel_limits,
    error_in_short,
    hash_of_file,
    normalise_channels,
)

SIDE, PATCH, HEAD = 224, 14, 64
"""Side of the resized images and of a patch in pixels, and channels of an attention head."""

LETTERS = {384: "s", 768: "b", 1024: "l", 1536: "g"}
"""Letter that names a size of DINOv2, by the width of its tokens."""

OFFSET = 0.1
"""Constant that the authors' code adds to an image's side in patches before it resamples positions.

The scale is the sum over the position table's side, 37. Without the constant, positions differ.
"""


@extractor("dinov2", usage="dinov2:EVALUATOR:WEIGHTS")
def load(rest: str, samples: Samples) -> RgbNetwork:
    """Load the class token of DINOv2 (Oquab et al. 2023, arXiv:2304.07193), 1024 features of ViT-L/14.

    Stein et al. 2023 (arXiv:2306.04675) proposed them for Fréchet distances. Three evaluators
    resize images to 224 x 224 in three ways, and their distances are not comparable. ``dgm-eval``
    uses Pillow's bicubic interpolation to 8 bits, ``edm2`` torch's with antialiasing, and
    ``torch-fidelity`` TensorFlow 1's bilinear one. ``rest`` is ``EVALUATOR:WEIGHTS``.
    """
    name, _, path = rest.partition(":")
    if name not in RESIZINGS or not path:
        raise ValueError(
            f"dinov2:{rest} does not say whose preprocessing is meant; write dinov2:EVALUATOR:WEIGHTS "
            f"with one of {', '.join(RESIZINGS)}, such as dinov2:edm2:dinov2_vitl14_pretrain.pth"
        )
    limits = checked_pixel_limits("dinov2", samples)
    weights = Path(path)
    network = _load_network(weights)
    dim = network.num_features
    space = f"dinov2-vit-{LETTERS.get(dim, dim)}-14-{name}"
    features = partial(_features, resize=RESIZINGS[name])
    return RgbNetwork(limits, network, features, dim, f"{space}-{hash_of_file(weights)}", space)


def _features(network: Any, images: Tensor, *, resize: Resize) -> Tensor:
    scaled = resize(images, SIDE) / 255
    return network(normalise_channels(scaled, IMAGENET_MEAN, IMAGENET_STD))


def _load_network(weights: Path) -> Any:
    if not weights.is_file():
        raise ValueError(
            f"dinov2: there is no file {weights}; give the weights that DINOv2's authors publish, "
            "such as dinov2_vitl14_pretrain.pth"
        )
    try:
        tensors = state_dict(open_checkpoint(weights).value)
    except CheckpointError as error:
        raise ValueError(f"dinov2: {error}") from None
    if "pos_embed" not in tensors or "patch_embed.proj.weight" not in tensors:
        raise ValueError(
            f"{weights.name} does not hold weights of DINOv2 as its authors publish them "
            "(dinov2_vitl14_pretrain.pth and its like)"
        )
    if "register_tokens" in tensors:
        raise ValueError(
            f"{weights.name} holds a DINOv2 with registers, which no evaluator takes features of; "
            "give the one without, such as dinov2_vitl14_pretrain.pth"
        )
    try:
        from timm.layers.mlp import SwiGLUPacked  # pyright: ignore[reportMissingImports]
        from timm.models.vision_transformer import (  # pyright: ignore[reportMissingImports]
            VisionTransformer,
        )
    except ImportError as error:
        raise ValueError("dinov2 needs timm; pip install 'samplerbench[dinov2]'") from error
    tensors.pop("mask_token", None)
    gated = "blocks.0.mlp.w12.weight" in tensors
    if gated:  # ViT-G's MLP
        names = {".mlp.w12.": ".mlp.fc1.", ".mlp.w3.": ".mlp.fc2."}
        tensors = {_renamed_key(key, names): tensor for key, tensor in tensors.items()}
    tensors["pos_embed"] = resample_positions(tensors["pos_embed"], SIDE // PATCH)
    width = tensors["pos_embed"].shape[2]
    try:
        network = VisionTransformer(
            img_size=SIDE,
            patch_size=PATCH,
            num_classes=0,
            embed_dim=width,
            depth=len({key.split(".")[1] for key in tensors if key.startswith("blocks.")}),
            num_heads=width // HEAD,
            # half a row more, since a product rounded down would lose a row
            mlp_ratio=(tensors["blocks.0.mlp.fc1.weight"].shape[0] + 0.5) / width,
            init_values=1.0,
            **({"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU} if gated else {}),
        )
        network.load_state_dict(tensors)
    except Exception as error:  # a file of other shapes can raise anything
        raise ValueError(
            f"{weights.name} does not hold weights of DINOv2 ({error_in_short(error)})"
        ) from error
    return network.eval().requires_grad_(False)


def _renamed_key(key: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        key = key.replace(old, new)
    return key


def resample_positions(table: Tensor, side: int) -> Tensor:
    """Resample a position table ``(1, 1 + n², width)`` to ``side`` x ``side`` patches.

    As in the authors' code, interpolation is bicubic without antialiasing, and patch k is read at
    (k + 1/2) n / (side + 0.1) - 1/2.
    """
    n = math.isqrt(table.shape[1] - 1)
    if n == side:
        return table
    grid = table[:, 1:].reshape(1, n, n, -1).permute(0, 3, 1, 2)
    factor = (side + OFFSET) / n
    grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
