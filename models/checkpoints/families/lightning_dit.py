"""Checkpoints of LightningDiT: DiT with rotary positions, gates, other norms, and SiT's training.

The shapes give the network. All networks of the library share one training, a straight path with data at t = 1. Samples
are latents. ``latents_stats.pt`` in the same folder may hold their means and standard deviations.

Files: ``.pt``, and ``latents_stats.pt`` in the same folder.
Process: a straight path, data at t = 1.
Prediction: the velocity x0 - z, with the time t.
Say: ``heads``, if the width is unpublished. ``decoder.folder=FOLDER``, to score images.
Refused: weights of other shapes.
From noise alone: yes, the path ends there.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...adapters import Network
from ...nets.dit import RotaryDiT
from ..opening import CheckpointError, OpenedCheckpoint, open_checkpoint, state_dict
from ..processes import ENDS
from ..specification import FILE, Specification
from ..weights import Tensors, choice_in_words, find_sets, load_network
from .dit import HEADS, LATER, TRAININGS, heads_answers, read_transformer_arguments

KEYS = ("x_embedder.proj.weight", "t_embedder.mlp.0.weight", "pos_embed")
KEYS += ("y_embedder.embedding_table.weight", "final_layer.linear.weight")
MORE_HEADS = {1536: 24, 1792: 28}
"""Number of heads of the library's 1.0B and 1.6B networks, by width."""
STATISTICS = "latents_stats.pt"


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a LightningDiT checkpoint; None for other files."""
    sets = find_sets(opened, KEYS)
    if not any(key in tensors for tensors in sets.values() for key in LATER):
        return None
    entry, tensors = next(iter(sets.items()))
    arguments = read_rotary_dit_arguments(tensors, tensors["x_embedder.proj.weight"], opened)
    published = _heads_by_width(tensors, arguments["width"])
    heads = heads_answers("RotaryDiT", arguments, published)
    channels = arguments["in_channels"]
    decoder = _decoder_fields(opened, channels)
    return Specification(
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
            *choice_in_words(sets),
        ),
        sources=dict.fromkeys(("network", "weights", "event", "half", "classes"), FILE),
        open={"heads": heads},
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the transformer with its weights."""
    return load_network(RotaryDiT, spec, opened, find_sets(opened, KEYS))


def read_rotary_dit_arguments(
    tensors: Tensors, stem: Tensor, opened: OpenedCheckpoint
) -> dict[str, Any]:
    """Return ``RotaryDiT``'s arguments but heads; see :func:`.dit.read_transformer_arguments`."""
    arguments = read_transformer_arguments(tensors, stem, opened)
    return {
        **arguments,
        "rms": "blocks.0.norm1.weight" in tensors,
        "swiglu": "blocks.0.mlp.w3.weight" in tensors,
        "rotary": "feat_rope.freqs_cos" in tensors,
        "shift": len(tensors["blocks.0.adaLN_modulation.1.bias"]) == 6 * arguments["width"],
    }


def _heads_by_width(tensors: Tensors, width: int) -> dict[int, int]:
    """Return numbers of heads by width, for ``width`` from the width of a head if the file has it."""
    for name in ("feat_rope.freqs_cos", "blocks.0.attn.q_norm.weight"):
        if name in tensors:
            return {width: width // tensors[name].shape[-1]}
    return {**HEADS, **MORE_HEADS}


def _decoder_fields(opened: OpenedCheckpoint, channels: int) -> dict[str, Any]:
    """Return ``decoder`` fields with the latents' mean and std; {} without latents_stats.pt."""
    path = opened.path.parent / STATISTICS
    if not path.is_file() or path == opened.path:
        return {}
    stored = state_dict(open_checkpoint(path).value)
    plain = {k: stored[k].flatten().tolist() for k in ("mean", "std") if k in stored}
    if [len(values) for values in plain.values()] != [channels, channels]:
        raise CheckpointError(
            f"{path} has no mean and std of {channels} channels, as the latents of {opened.path.name} "
            "have; take the file that came with it, or move it away"
        )
    return {"class": "VA-VAE", **plain}
