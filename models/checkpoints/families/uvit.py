"""Checkpoints of U-ViT (Bao et al. 2023, arXiv:2209.12152): a state dict of its transformer.

The shapes give the sizes, and the number of heads for published widths. Networks for images were trained on the VP
process in continuous time, and networks for latents at Stable Diffusion's 1000 betas. The question ``training`` asks
for one of the two; four channels, which mean latents, answer it.

Files: ``.pth``, a plain state dict. A table of 1001 labels has one for "no label".
Process: the answer to ``training``.
Prediction: the noise. The time input is 999 t, or for ``SD-betas`` the number of the step counted from 1.
Say: ``training``, unless the network has four channels. ``heads``, if the width is none of the published ones.
    ``decoder.folder=FOLDER``, to score images. ``guidance_is=w-1``, if ``guidance`` is the paper's scale.
Refused: networks of text.
From noise alone: no. They predict the noise, and their highest level is finite.
"""

from __future__ import annotations

import math
from typing import Any

from ...adapters import Network
from ...nets.uvit import UViT
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import SCHEDULE_ENDS, VP_LINEAR, schedule_fields
from ..specification import FILE, Specification
from ..weights import WRAP, Tensors, choice_in_words, find_sets, load_network
from .dit import heads_answers

KEYS = ("patch_embed.proj.weight", "pos_embed", "mid_block.attn.qkv.weight", "decoder_pred.weight")
HEADS = {512: 8, 768: 12, 1024: 16, 1152: 16}
"""Number of heads by width: S, M, L and H of the paper (Table 1)."""
WITH_NULL = 1001
"""Number of rows of a table of ImageNet's labels with "no label"."""

SD: dict[str, Any] = {"schedule": "scaled_linear", "steps": 1000, **SCHEDULE_ENDS["scaled_linear"]}
TRAININGS: dict[str, dict[str, Any]] = {
    "VP": {**VP_LINEAR, "time": {"of": "t", "scale": 999.0}},
    "SD-betas": {**schedule_fields(**SD), "time": {"of": "t", "offset": 1.0}, "limits": None},
}
"""Specification fields of trainings that predict the noise; ``SD-betas`` counts steps from 1."""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a U-ViT checkpoint; None for other files."""
    sets = find_sets(opened, KEYS)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    arguments = _read_transformer_arguments(opened, tensors)
    channels, rows = arguments["channels"], arguments["labels"]
    heads = heads_answers("UViT", arguments, HEADS)
    is_latent = channels == 4  # Stable Diffusion's
    return Specification(
        family="uvit",
        network=next(iter(heads.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, arguments["side"], arguments["side"]),
        process={"name": ""},
        prediction="eps",
        classes=rows - (rows == WITH_NULL),
        null_label=rows == WITH_NULL,
        labels="random" if rows else "none",
        evidence=(
            "the names of its weights are U-ViT's",
            *(["samples are latents of 4 channels, which nothing decodes"] * is_latent),
            *choice_in_words(sets),
        ),
        sources=dict.fromkeys(("network", "weights", "event", "classes"), FILE),
        open={
            "training": {"SD-betas": TRAININGS["SD-betas"]} if is_latent else TRAININGS,
            "heads": heads,
        },
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the transformer with its weights."""
    return load_network(UViT, spec, opened, find_sets(opened, KEYS))


def _read_transformer_arguments(opened: OpenedCheckpoint, tensors: Tensors) -> dict[str, Any]:
    width, channels, patch, _ = tensors["patch_embed.proj.weight"].shape
    labels = tensors.get("label_emb.weight")
    extra = 1 if labels is None else 2
    tokens = tensors["pos_embed"].shape[1] - extra
    side, numbers = math.isqrt(max(tokens, 0)), len(tensors["decoder_pred.weight"])
    if side**2 != tokens or not side or numbers != patch**2 * channels:
        raise CheckpointError(
            f"{opened.path}: its transformer has {tokens} tokens of the image and gives {numbers} "
            f"numbers for each patch of {channels} x {patch} x {patch}, which is not U-ViT's "
            f"(networks of text are not read); {WRAP}"
        )
    return {
        "side": side * patch,
        "channels": channels,
        "patch": patch,
        "width": width,
        "half_depth": len({n.split(".")[1] for n in tensors if n.startswith("in_blocks.")}),
        "hidden": len(tensors["mid_block.mlp.fc1.weight"]),
        "labels": 0 if labels is None else len(labels),
        "bias": "mid_block.attn.qkv.bias" in tensors,
        "time_layers": "time_embed.0.weight" in tensors,
        "smoothed": "final_layer.weight" in tensors,
    }
