"""Checkpoints of LightningDiT: DiT's names with rotary positions, gates and other normalisations, trained as
SiT.

The shapes give the network. The library's networks share one training: the straight path with data at
t = 1. Samples are latents; ``latents_stats.pt`` in the file's folder may hold their means and standard
deviations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...adapters import Network
from ...nets.dit import RotaryDiT
from ..opening import CheckpointError, Opened, open_checkpoint
from ..specification import FAMILY, FILE, Specification
from ..weights import WRAP, Sets, choice_among, entries_of, loaded
from .dit import ENDS, HEADS, LATER, OTHER_HEADS, TRAININGS

KEYS = ("x_embedder.proj.weight", "t_embedder.mlp.0.weight", "pos_embed")
KEYS += ("y_embedder.embedding_table.weight", "final_layer.linear.weight")
MORE_HEADS = {1536: 24, 1792: 28}
"""Heads of the library's 1.0B and 1.6B by width."""
STATISTICS = "latents_stats.pt"

Tensors = Mapping[str, Tensor]


def recognise(opened: Opened) -> Specification | None:
    """Recognise a state dict of the transformer, alone or as an entry such as ``ema``."""
    sets = entries_of(opened, KEYS)
    later = any(key in tensors for tensors in sets.values() for key in LATER)
    return _specification(opened, sets) if later else None


def network(spec: Specification, opened: Opened) -> Network:
    """Make the transformer."""
    return loaded(RotaryDiT, spec, opened, entries_of(opened, KEYS))


def layout(tensors: Tensors, stem: Tensor, opened: Opened) -> dict[str, Any]:
    """Return the arguments of the transformer without its heads.

    Args:
        tensors: by DiT's names.
        stem: the convolution that the image goes through first.
        opened: for messages.

    Raises:
        CheckpointError: its tokens are no square, or its output is no prediction.
    """
    channels, patch = stem.shape[1], stem.shape[2]
    tokens, width = tensors["pos_embed"].shape[1:]
    side, numbers = math.isqrt(tokens), len(tensors["final_layer.linear.weight"])
    if side**2 != tokens or numbers not in (patch**2 * channels, 2 * patch**2 * channels):
        raise CheckpointError(
            f"{opened.path}: its transformer has {tokens} tokens and gives {numbers} numbers for each "
            f"patch of {channels} x {patch} x {patch}, which is not DiT's; {WRAP}"
        )
    swiglu = "blocks.0.mlp.w3.weight" in tensors
    hidden = tensors["blocks.0.mlp.w3.weight" if swiglu else "blocks.0.mlp.fc2.weight"].shape[1]
    return {
        "side": side * patch,
        "in_channels": channels,
        "out_channels": numbers // patch**2,
        "patch": patch,
        "width": width,
        "depth": 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")),
        "hidden": hidden,
        "labels": len(tensors["y_embedder.embedding_table.weight"]),
        "frequencies": tensors["t_embedder.mlp.0.weight"].shape[1],
        "normed": "blocks.0.attn.q_norm.weight" in tensors,
        "rms": "blocks.0.norm1.weight" in tensors,
        "swiglu": swiglu,
        "rotary": "feat_rope.freqs_cos" in tensors,
        "shift": len(tensors["blocks.0.adaLN_modulation.1.bias"]) == 6 * width,
    }


def _specification(opened: Opened, sets: Sets) -> Specification:
    entry, tensors = next(iter(sets.items()))
    arguments = layout(tensors, tensors["x_embedder.proj.weight"], opened)
    heads = {
        str(n): {"network": {"class": "RotaryDiT", "arguments": {**arguments, "heads": n}}}
        for n in _heads(tensors, arguments["width"])
    }
    channels = arguments["in_channels"]
    decoder = _decoder(opened, channels)
    spec = Specification(
        family="lightning_dit",
        network=next(iter(heads.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, arguments["side"], arguments["side"]),
        **{**ENDS, **TRAININGS["SiT"]},
        half="first" if arguments["out_channels"] == 2 * channels else "",
        limits=None,
        classes=arguments["labels"] - 1,
        null_label=True,
        labels="random",
        decoder=decoder,
        evidence=(
            "the names of its weights are LightningDiT's: DiT's, with "
            + ", ".join(k for k in ("rotary", "swiglu", "rms") if arguments[k]),
            "samples are latents"
            + (f", whose statistics are in {STATISTICS}" if decoder else "")
            + "; nothing decodes them",
            *choice_among(sets),
        ),
        sources=dict.fromkeys(("network", "weights", "event", "half", "classes"), FILE),
        open={"heads": heads},
    )
    return spec.answered("heads", next(iter(heads)), FAMILY) if len(heads) == 1 else spec


def _heads(tensors: Tensors, width: int) -> tuple[int, ...]:
    """Return the number of heads from the file's channels of a head, or a published width; else all possible
    ones.
    """
    for name in ("feat_rope.freqs_cos", "blocks.0.attn.q_norm.weight"):
        if name in tensors:
            return (width // tensors[name].shape[-1],)
    published = {**HEADS, **MORE_HEADS}
    if width in published:
        return (published[width],)
    return tuple(n for n in OTHER_HEADS if width % n == 0)


def _decoder(opened: Opened, channels: int) -> dict[str, Any]:
    """Return means and standard deviations of the latents by channel, if the file's folder has them."""
    path = opened.path.parent / STATISTICS
    if not path.is_file() or path == opened.path:
        return {}
    content = open_checkpoint(path).value
    statistics = {
        k: content.get(k) if isinstance(content, Mapping) else None for k in ("mean", "std")
    }
    plain = {k: v.flatten().tolist() for k, v in statistics.items() if isinstance(v, Tensor)}
    if any(len(plain.get(k, ())) != channels for k in statistics):
        raise CheckpointError(
            f"{path} has no mean and std of {channels} channels, as the latents of {opened.path.name} "
            "have; take the file that came with it, or move it away"
        )
    return {"class": "VA-VAE", **plain}
