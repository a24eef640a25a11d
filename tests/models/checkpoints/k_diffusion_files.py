"""Files of k-diffusion's trainings, of a small network."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch

from samplerbench.models.nets.k_image_v1 import KImageV1

SIDE = 4
CONFIG = {
    "type": "image_v1",
    "input_channels": 1,
    "input_size": [SIDE, SIDE],
    "mapping_out": 32,
    "depths": [1],
    "channels": [32],
    "self_attn_depths": [False],
    "sigma_data": 0.6,
    "sigma_min": 0.01,
    "sigma_max": 80.0,
}
SHAPE = {"channels": 1, "embedding": 32, "depths": [1], "widths": [32], "attention": [False]}
SHAPE |= {"conditions": 9}


def training_file(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    """What a training saves; weights that are no average are spoilt."""
    named = {f"inner_model.{k}": w for k, w in weights.items()}
    spoilt = {k: 0 * w for k, w in named.items()}
    held = {"config": {"model": CONFIG}, "model": spoilt, "model_ema": named, "step": 3}
    torch.save(held, folder / "model_00003.pth")
    return folder / "model_00003.pth"


def slim_file(folder: Path, weights: dict[str, torch.Tensor], **changes: object) -> Path:
    """A slim one, for sampling."""
    named = {f"inner_model.{k}": w.contiguous() for k, w in weights.items()}
    config = json.dumps({"model": {**CONFIG, **changes}})
    safetensors.torch.save_file(named, folder / "slim.safetensors", {"config": config})
    return folder / "slim.safetensors"


def made() -> KImageV1:
    """A network whose weights are nowhere zero."""
    torch.manual_seed(0)
    return KImageV1(**SHAPE)
