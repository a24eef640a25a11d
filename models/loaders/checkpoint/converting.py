"""Conversion of a checkpoint to safetensors and a card, from which the same code makes the same model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
from torch import nn

from ...checkpoints.opening import CheckpointError, open_checkpoint
from ...checkpoints.weights import WRAP
from .families.converted import CARD, WEIGHTS, card_of
from .loading import probe, resolved

AS_IT_IS = {
    "diffusers": "is a diffusers folder, which is data already: the network is the library's own, and "
    "save_pretrained writes its weights as safetensors",
    "onnx": "is a program, which brings its own network",
    "exported": "is a program, which brings its own network",
}
"""Families whose checkpoints are not converted, with the reason."""


class Written(NamedTuple):
    """Counts of what was written.

    Attributes:
        tensors: weights and buffers.
        numbers: in all of them.
    """

    tensors: int
    numbers: int


def write_converted(path: Path, given: Mapping[str, str], name: str | None, out: Path) -> Written:
    """Write a checkpoint's network as ``model.safetensors``, and its specification and origin as
    ``card.json``.

    Args:
        path: of a file or folder.
        given: settings by name.
        name: of its family; None to recognise it.
        out: folder, made if it is missing.

    Raises:
        CheckpointError: the checkpoint cannot be read, or its network is none of this project's.
        ValueError: a question is open, a setting is invalid, or ``out`` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not empty; give another folder")
    opened = open_checkpoint(path)
    spec = probe(opened, name)
    if spec.family in AS_IT_IS:
        raise CheckpointError(f"{path} {AS_IT_IS[spec.family]}; use it as it is")
    model = resolved(spec, opened, given)
    card = card_of(model.spec, model.network, opened)
    if card is None or not isinstance(model.network, nn.Module):
        raise CheckpointError(f"{path} has a network that is none of this project's; {WRAP}")
    state = {k: v.detach().cpu().contiguous() for k, v in model.network.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    (out / WEIGHTS).write_bytes(safetensors.torch.save(state))
    # last, so that half a folder is none
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return Written(len(state), sum(tensor.numel() for tensor in state.values()))
