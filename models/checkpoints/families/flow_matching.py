"""U-Nets of flow matching: OpenAI's network, trained by torchcfm or flow_matching.

Both trainings have noise at t = 0, data at t = 1 and time input t. Paths are straight, or in torchcfm also on a circle.
The shapes give the sizes. Open questions are the path, and ``attention`` and ``size`` as in :mod:`.openai`.

Files: ``.pt`` of torchcfm (``net_model``, ``ema_model``) or flow_matching (``model``, ``lr_schedule``).
Process: the answer to ``training``, data at t = 1.
Prediction: the velocity, with the time t. The velocity of ``otcfm`` is only nearly the velocity of a posterior mean.
Say: ``training`` for torchcfm: ``straight`` (``icfm``, ``otcfm``, ``fm``) or ``circle`` (``si``). ``attention``:
    num_heads (``1-head``, ``4-heads``) or num_head_channels (``64-wide``); append ``-together`` if several heads
    have use_new_attention_order. ``size``: the side of the images.
Refused: networks whose output has other channels than their input.
From noise alone: yes, the path ends there.
"""

from __future__ import annotations

import math
from typing import Any

from ...adapters import Network
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import CIRCLE, ENDS, REVERSED, STRAIGHT
from ..specification import FILE, Specification
from ..weights import WRAP, Sets, choice_in_words, find_sets
from .openai import FLOWS, KEYS, head_answers_of, make_unet, read_unet_arguments, size_answers_of

TRAININGS: dict[str, dict[str, Any]] = {
    "straight": {**STRAIGHT, "factor": -1.0},
    "circle": {**CIRCLE, "factor": -2 / math.pi},
}
"""Trainings: ``circle`` is torchcfm's ``si``, ``straight`` its others and flow_matching's."""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a training by torchcfm or flow_matching; None for other files."""
    sets = _weight_sets(opened)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    arguments = read_unet_arguments(tensors, opened.path)
    channels, rows = arguments["in_channels"], arguments["classes"]
    if arguments["out_channels"] != channels:
        raise CheckpointError(
            f"{opened.path}: its U-Net gives {arguments['out_channels']} channels of {channels}, and is no "
            f"velocity; {WRAP}"
        )
    torchcfm = FLOWS[0] in opened.value
    null = bool(rows) and not torchcfm  # flow_matching's last row is "no label"
    attention = head_answers_of(arguments)
    return Specification(
        family="flow_matching",
        network=next(iter(attention.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, 0, 0),
        **STRAIGHT,
        **ENDS,
        time=REVERSED,
        classes=rows - null,
        null_label=null,
        labels="random" if rows else "none",
        evidence=(*_evidence(torchcfm=torchcfm), *choice_in_words(sets)),
        sources=dict.fromkeys(("network", "weights", "classes"), FILE),
        open={
            "training": TRAININGS if torchcfm else {"straight": TRAININGS["straight"]},
            "attention": attention,
            "size": size_answers_of(arguments),
        },
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the U-Net with its weights."""
    return make_unet(spec, opened, _weight_sets(opened))


def _weight_sets(opened: OpenedCheckpoint) -> Sets:
    """Return sets of weights by entry name, averages first; {} if another library trained them."""
    is_flow = any(name in opened.entries for name in FLOWS)
    return find_sets(opened, KEYS) if is_flow else {}


def _evidence(*, torchcfm: bool) -> list[str]:
    library = "torchcfm" if torchcfm else "flow_matching"
    return [
        "the names of its weights are those of OpenAI's U-Net",
        f"what is saved beside them is {library}'s: noise at t = 0, data at t = 1",
    ]
