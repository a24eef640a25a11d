"""Checkpoints of JiT: transformers that predict clean pixels (Li & He 2025, arXiv:2511.13720).

The shapes give the network, except for the block at which label tokens join. This block is taken to be at a third of
the depth, as in all published networks. The scale of the noise is 1 for images of side 256 and 2 for side 512. For
other sides the scale is an open question.

Files: ``.pth``, with three sets of weights. The average ``model_ema1`` is taken; ``weights.entry=model_ema2`` takes
    the other average.
Process: a straight path, data at t = 1, with noise of standard deviation ``noise_scale``.
Prediction: the clean image, with the time t.
Say: ``noise_scale``, for images of other sides than 256 and 512.
Refused: networks that learn a variance.
From noise alone: yes, the path ends there.
"""

from __future__ import annotations

from typing import Any

from ...adapters import Network
from ...nets.dit import RotaryDiT
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import ENDS, REVERSED
from ..specification import FILE, Specification
from ..weights import WRAP, choice_in_words, find_sets, load_network
from .lightning_dit import read_rotary_dit_arguments

STEM, NORM = "x_embedder.proj1.weight", "blocks.0.attn.q_norm.weight"
KEYS = (STEM, NORM, "pos_embed", "t_embedder.mlp.0.weight", "blocks.0.mlp.w3.weight")
KEYS += ("y_embedder.embedding_table.weight", "final_layer.linear.weight")
SCALES = {256: 1.0, 512: 2.0}
"""Standard deviation of the noise by the side of the images."""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a JiT checkpoint; None for other files."""
    sets = find_sets(opened, KEYS)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    shapes = read_rotary_dit_arguments(tensors, tensors[STEM], opened)
    if shapes["out_channels"] != shapes["in_channels"]:
        raise CheckpointError(f"{opened.path} learns a variance, which JiT does not; {WRAP}")
    places = tensors.get("in_context_posemb")
    arguments: dict[str, Any] = {
        **shapes,
        "rotary": True,
        "heads": shapes["width"] // len(tensors[NORM]),
        "narrow": len(tensors[STEM]),
        "told": 0 if places is None else places.shape[1],
        "told_from": shapes["depth"] // 3,
    }
    side = shapes["side"]
    scales = (SCALES[side],) if side in SCALES else tuple(SCALES.values())
    answers = {f"{s:g}": {"process": {"name": "flow", "noise_scale": s}} for s in scales}
    return Specification(
        family="jit",
        network={"class": "RotaryDiT", "arguments": arguments},
        weights={"file": str(opened.path), "entry": entry},
        event=(shapes["in_channels"], side, side),
        process={"name": "flow"},
        prediction="x0",
        time=REVERSED,
        **ENDS,
        classes=shapes["labels"] - 1,
        null_label=True,
        labels="random",
        evidence=(
            "the names of its weights are JiT's, which predicts clean pixels",
            *choice_in_words(sets),
        ),
        sources=dict.fromkeys(("network", "weights", "event", "classes"), FILE),
        open={"noise_scale": answers},
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the transformer with its weights."""
    return load_network(RotaryDiT, spec, opened, find_sets(opened, KEYS), dropped="feat_rope")
