"""Networks of score_sde, small ones, saved by its names."""

from __future__ import annotations

import torch

from samplerbench.models.checkpoints.families.score_sde import _module_names
from samplerbench.models.nets.edm_unets import SongUNet

SIDE = 4
DDPM = {
    "img_resolution": SIDE,
    "in_channels": 1,
    "out_channels": 1,
    "model_channels": 32,
    "channel_mult": [1],
    "num_blocks": 1,
    "attn_resolutions": [],
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
}
"""What is trained here."""
FOURIER = {"embedding_type": "fourier", "channel_mult_noise": 2}
NCSN = {**DDPM, **FOURIER}


def as_saved(network: SongUNet, arguments: dict) -> dict[str, torch.Tensor]:
    """The weights by score_sde's names, parallel training's prefix before them."""
    state, saved, last = network.state_dict(), {}, ""
    back = {"norm0": "GroupNorm_0", "conv0": "Conv_0", "affine": "Dense_0"}
    back |= {"norm1": "GroupNorm_1", "conv1": "Conv_1", "skip": "Conv_2"}
    for number, name in enumerate(_module_names(arguments)):
        at = f"module.all_modules.{2 * number}"  # numbers between are of modules without weights
        if name == "map_noise":
            saved[f"{at}.W"] = state["map_noise.freqs"]
        elif name == last:  # its attention
            c = len(state[f"{name}.norm2.weight"])
            saved |= {
                f"{at}.GroupNorm_0.{p}": state[f"{name}.norm2.{p}"] for p in ("weight", "bias")
            }
            for i in range(3):
                saved[f"{at}.NIN_{i}.W"] = state[f"{name}.qkv.weight"].reshape(c, 3, c)[:, i].T
                saved[f"{at}.NIN_{i}.b"] = state[f"{name}.qkv.bias"].reshape(c, 3)[:, i]
            saved[f"{at}.NIN_3.W"] = state[f"{name}.proj.weight"][..., 0, 0].T
            saved[f"{at}.NIN_3.b"] = state[f"{name}.proj.bias"]
        elif f"{name}.norm0.weight" in state:
            for ours, theirs in back.items():
                for p in ("weight", "bias"):
                    if f"{name}.{ours}.{p}" in state:
                        saved[f"{at}.{theirs}.{p}"] = state[f"{name}.{ours}.{p}"]
        else:
            inner = {"_aux_residual": ".Conv2d_0", "_aux_skip": ".Conv_0"}
            kind = next((theirs for ours, theirs in inner.items() if name.endswith(ours)), "")
            saved |= {f"{at}{kind}.{p}": state[f"{name}.{p}"] for p in ("weight", "bias")}
        last = name
    return saved
