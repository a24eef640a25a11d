"""Folders of diffusers with settings alone: their weights are nothing that could be read."""

from __future__ import annotations

import json
import math
from pathlib import Path

from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.loaders.checkpoint import specify_checkpoint

UNET = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1}
DIT = {
    "_class_name": "DiTTransformer2DModel", "sample_size": 8, "in_channels": 2, "out_channels": 4,
    "num_embeds_ada_norm": 3,
}  # fmt: skip
V = {"prediction_type": "v_prediction"}
DDIM = {"_class_name": "DDIMScheduler", "clip_sample": False}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def write(folder: Path, name: str, value: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def pipeline(folder: Path, scheduler=DDIM, network=UNET, decoder=None, name="DDPMPipeline") -> Path:
    """A folder whose weights are nothing that could be read."""
    part = "unet" if network["_class_name"] == "UNet2DModel" else "transformer"
    index = {
        "_class_name": name,
        part: ["diffusers", network["_class_name"]],
        "scheduler": ["diffusers", scheduler["_class_name"]],
    }
    if decoder is not None:
        index["vae"] = ["diffusers", "AutoencoderKL"]
        write(folder, "vae/config.json", decoder)
    write(folder, "model_index.json", index)
    write(folder, f"{part}/config.json", network)
    write(folder, "scheduler/scheduler_config.json", scheduler)
    (folder / part / WEIGHTS).write_bytes(b"weights")
    return folder


def spec_of(folder: Path) -> Specification:
    return specify_checkpoint(open_checkpoint(folder))


def levels(betas) -> list[float]:
    """Of a table of betas, one by one."""
    kept, found = 1.0, []
    for beta in betas:
        kept *= 1 - beta
        found.append(math.sqrt((1 - kept) / kept))
    return found


LINEAR = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]


def cosine(i: float) -> float:
    return math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
