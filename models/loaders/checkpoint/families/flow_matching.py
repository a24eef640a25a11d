"""U-Nets of flow matching: torchcfm's and flow_matching's trainings of OpenAI's network.

Both have noise at t = 0 and data at t = 1, and tell the network t itself; torchcfm can also follow
a circle. The sizes are in the shapes, and what they leave open is as in :mod:`.openai`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ....adapters import Network
from ....checkpoints.entries import entries_of
from ....checkpoints.opening import CheckpointError, Opened
from ....checkpoints.specification import FAMILY, FILE, Specification
from ....checkpoints.unet_layout import layout
from ....checkpoints.weights import WRAP
from .dit import ENDS, REVERSED
from .openai import FLOWS, KEYS, attention_of, network_of, sizes_of

WITHIN, SHADOW = "model.", "shadow_params."
"""Before the names of flow_matching's weights where it averages them, and those of the average."""
COUPLED = "otcfm"
"""How torchcfm's files begin whose noise was coupled with the data of its batch."""

TRAININGS: dict[str, dict[str, Any]] = {
    "straight": {"process": {"name": "flow"}, "prediction": "flow", "factor": -1.0},
    "circle": {"process": {"name": "trigonometric"}, "prediction": "v", "factor": -2 / math.pi},
}
"""torchcfm's ``icfm``, ``otcfm``, ``fm`` and all of flow_matching, and torchcfm's ``si``."""


def recognise(opened: Opened) -> Specification | None:
    """A file of either training.

    Raises:
        CheckpointError: blocks are missing, or its output is no prediction.
    """
    for entry, tensors in _sets(opened).items():
        if all(key in tensors for key in KEYS):
            return _specification(opened, entry, tensors)
    return None


def network(spec: Specification, opened: Opened) -> Network:
    """The U-Net.

    Raises:
        CheckpointError: its weights do not fit it.
    """
    return network_of(spec, opened, _sets(opened).get(spec.weights["entry"], {}))


def _sets(opened: Opened) -> dict[str, dict[str, Tensor]]:
    """Sets of weights by entry, averages first; none for files of other trainings."""
    if not isinstance(opened.value, Mapping) or not any(name in opened.value for name in FLOWS):
        return {}
    sets = entries_of(opened)
    if "model" in sets and (average := _averaged(sets["model"], opened)):
        last = {k.removeprefix(WITHIN): t for k, t in sets["model"].items() if k.startswith(WITHIN)}
        sets = {"ema": average, "model": last}
    return sets


def _averaged(held: Mapping[str, Tensor], opened: Opened) -> dict[str, Tensor]:
    """flow_matching's average, a list in the order of the parameters; empty without one.

    Raises:
        CheckpointError: it is of another network.
    """
    shadow = sorted((int(k.removeprefix(SHADOW)), t) for k, t in held.items() if SHADOW in k)
    names = [k for k in held if k.startswith(WITHIN)]
    if not shadow:
        return {}
    if [t.shape for _, t in shadow] != [held[name].shape for name in names]:
        raise CheckpointError(
            f"{opened.path}: the average of its weights is of another network; {WRAP}"
        )
    return {n.removeprefix(WITHIN): t for n, (_, t) in zip(names, shadow, strict=True)}


def _specification(opened: Opened, entry: str, tensors: dict[str, Tensor]) -> Specification:
    found = layout(tensors, opened.path)
    channels, rows = found["in_channels"], found["classes"]
    if found["out_channels"] != channels:
        raise CheckpointError(
            f"{opened.path}: its U-Net gives {found['out_channels']} channels of {channels}, and is no "
            f"velocity; {WRAP}"
        )
    torchcfm = FLOWS[0] in opened.value
    null = bool(rows) and not torchcfm  # flow_matching's last row is "no label"
    questions = {
        "training": TRAININGS if torchcfm else {"straight": TRAININGS["straight"]},
        "attention": attention_of(found),
        "size": sizes_of(found),
    }
    spec = Specification(
        family="flow_matching",
        network=next(iter(questions["attention"].values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, 0, 0),
        process={"name": "flow"},
        prediction="flow",
        time=REVERSED,
        sigma_min=ENDS["sigma_min"],
        sigma_max=ENDS["sigma_max"],
        classes=rows - null,
        null_label=null,
        labels="random" if rows else "none",
        evidence=_evidence(opened, torchcfm=torchcfm),
        sources=dict.fromkeys(("network", "weights", "classes"), FILE),
        open=questions,
    )
    for question, answers in questions.items():
        if len(answers) == 1:
            spec = spec.answered(question, next(iter(answers)), FAMILY)
    return spec


def _evidence(opened: Opened, *, torchcfm: bool) -> tuple[str, ...]:
    library = "torchcfm" if torchcfm else "flow_matching"
    coupled = torchcfm and opened.path.name.startswith(COUPLED)
    return (
        "the names of its weights are those of OpenAI's U-Net",
        f"what is saved beside them is {library}'s: noise at t = 0, data at t = 1",
        *(
            [
                "its name says that noise was coupled with the data of each batch by optimal "
                "transport, so that its velocity is only nearly that of a posterior mean"
            ]
            if coupled
            else []
        ),
    )
