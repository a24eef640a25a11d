"""The architecture of OpenAI's U-Net, read from the names and shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .opening import CheckpointError
from .weights import WRAP

Tensors = Mapping[str, Tensor]


def layout(tensors: Tensors, path: Path) -> dict[str, Any]:
    """Return the arguments of :class:`~samplerbench.models.nets.adm_unet.ADMUNet` without its heads.

    The check is partial; loading the weights into the network is the complete one.

    Raises:
        CheckpointError: blocks are missing.
    """
    try:
        return _layout(tensors)
    except (KeyError, IndexError):
        raise CheckpointError(
            f"{path}: its U-Net lacks blocks, or is not in the order of OpenAI's; if the file is "
            f"whole, {WRAP}"
        ) from None


def _layout(tensors: Tensors) -> dict[str, Any]:
    embedding = tensors["time_embed.0.weight"].shape[1]
    numbers = {int(name.split(".")[1]) for name in tensors if name.startswith("input_blocks.")}
    plain = sorted(
        set(range(max(numbers))) - numbers
    )  # where the resolution changes without weights
    rising = [_rises(tensors, i) for i in range(_count(tensors, "output_blocks"))]
    stages = rising.index(True) + 1 if True in rising else len(rising)
    if plain:
        stages = plain[0]
    levels = len(rising) // stages
    firsts = [1 + level * stages for level in range(levels)]
    halved = [f"input_blocks.{first - 1}.0" for first in firsts[1:]]
    widths = [tensors[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in firsts]
    modulation = tensors["middle_block.0.emb_layers.1.weight"].shape[0]
    labels = tensors.get("label_emb.weight")
    return {
        "in_channels": tensors["input_blocks.0.0.weight"].shape[1],
        "out_channels": tensors["out.2.weight"].shape[0],
        "embedding": embedding,
        "stem": tensors["input_blocks.0.0.weight"].shape[0],
        "widths": widths,
        "blocks": stages - 1,
        "attention": [
            n for n, i in enumerate(firsts) if f"input_blocks.{i}.1.qkv.weight" in tensors
        ],
        "scale_shift": modulation == 2 * widths[-1],
        "resample_blocks": bool(halved) and f"{halved[0]}.in_layers.2.weight" in tensors,
        **({"resample_plain": True} if plain else {}),
        "classes": 0 if labels is None else len(labels),
    }


def _count(tensors: Tensors, stage: str) -> int:
    return 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith(f"{stage}."))


def _rises(tensors: Tensors, block: int) -> bool:
    """Return True if a block on the way up doubles the resolution: in a convolution or a second residual
    block.
    """
    names = [f"output_blocks.{block}.{i}" for i in (1, 2)]
    return any(f"{n}.conv.weight" in tensors or f"{n}.in_layers.0.weight" in tensors for n in names)
