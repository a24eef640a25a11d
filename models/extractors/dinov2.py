"""``dinov2:EVALUATOR:WEIGHTS``, the features of FD_DINOv2, from its authors' file of weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoints.opening import CheckpointError, hash_of_file, open_checkpoint, state_dict
from . import Samples, extractor, rgb

SIDE, PATCH, HEAD = 224, 14, 64
"""Side of the resized images and of a patch in pixels, and channels of an attention head."""

LETTERS = {384: "s", 768: "b", 1024: "l", 1536: "g"}
"""Letter that names a size of DINOv2, by the width of its tokens."""

OFFSET = 0.1
"""Constant that the authors' code adds to an image's side in patches before it resamples positions.

The scale factor is the sum over the position table's side, 37. So the constant shifts positions.
"""


@extractor("dinov2", usage="dinov2:EVALUATOR:WEIGHTS")
def load(rest: str, samples: Samples) -> rgb.RgbNetwork:
    """Load an extractor of DINOv2's class token (Oquab et al. 2023, arXiv:2304.07193).

    Stein et al. 2023 (arXiv:2306.04675) proposed the 1024 features of ViT-L/14 for Fréchet distances.
    Three evaluators resize images to 224 x 224 in three ways, so their distances are not comparable.
    ``dgm-eval`` uses Pillow's bicubic interpolation to 8 bits, ``edm2`` torch's with antialiasing,
    and ``torch-fidelity`` TensorFlow 1's bilinear one. ``rest`` is ``EVALUATOR:WEIGHTS``.
    """
    name, _, path = rest.partition(":")
    if name not in rgb.RESIZINGS or not path:
        raise ValueError(
            f"dinov2:{rest} does not say whose preprocessing is meant; write "
            f"dinov2:EVALUATOR:WEIGHTS with one of {', '.join(rgb.RESIZINGS)}, such as "
            "dinov2:edm2:dinov2_vitl14_pretrain.pth"
        )
    limits = rgb.checked_pixel_limits("dinov2", samples)
    network, digest = _load_network(file := Path(path).expanduser()), hash_of_file(file)[:16]
    dim = network.num_features
    space = f"dinov2-vit-{LETTERS.get(dim, dim)}-14-{name}"

    def features(network: Any, images: Tensor) -> Tensor:
        scaled = rgb.RESIZINGS[name](images, SIDE) / 255
        return network(rgb.normalise_channels(scaled, rgb.IMAGENET_MEAN, rgb.IMAGENET_STD))

    return rgb.RgbNetwork(limits, network, features, dim, f"{space}-{digest}", space)


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
    mlp, transformer = (
        rgb.import_optional(module, "dinov2 needs timm", "'samplerbench[dinov2]'")
        for module in ("timm.layers.mlp", "timm.models.vision_transformer")
    )
    tensors.pop("mask_token", None)
    gated: dict[str, Any] = {}
    if "blocks.0.mlp.w12.weight" in tensors:  # ViT-G's MLP
        gated = {"mlp_layer": mlp.SwiGLUPacked, "act_layer": torch.nn.SiLU}
        tensors = {
            key.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2."): tensor
            for key, tensor in tensors.items()
        }
    tensors["pos_embed"] = resample_positions(tensors["pos_embed"], SIDE // PATCH)
    width = tensors["pos_embed"].shape[2]
    with rgb.explain_errors(f"{weights.name} does not hold weights of DINOv2"):
        network = transformer.VisionTransformer(
            img_size=SIDE,
            patch_size=PATCH,
            num_classes=0,
            embed_dim=width,
            depth=len({key.split(".")[1] for key in tensors if key.startswith("blocks.")}),
            num_heads=width // HEAD,
            # half a row more, since a product rounded down would lose a row
            mlp_ratio=(tensors["blocks.0.mlp.fc1.weight"].shape[0] + 0.5) / width,
            init_values=1.0,
            **gated,
        )
        network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def resample_positions(table: Tensor, side: int) -> Tensor:
    """Return a position table ``(1, 1 + n², width)`` resampled to ``(1, 1 + side², width)``.

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
