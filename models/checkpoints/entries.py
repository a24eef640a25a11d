"""The sets of weights in a file of ``torch.save`` or of safetensors, by the names of their entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .opening import Opened, state_dict
from .pickles import Record

WRAPPED = ("module.", "_orig_mod.")
"""What parallel training and compilation put before every name."""
PREFERRED = ("ema", "ema_model", "model_ema", "model_ema1", "model", "net_model", "state_dict")
"""Averages of the weights first: they are what papers sample from."""


def entries_of(opened: Opened) -> dict[str, dict[str, Tensor]]:
    """Sets of weights by entry, preferred ones first; "" where the file itself is one."""
    if not isinstance(opened.value, Mapping):
        return {}
    if whole := state_dict(opened.value):
        return {"": _bare(whole)}
    found = {k: _bare(t) for k, v in opened.value.items() if (t := state_dict(v))}
    rank = {name: i for i, name in enumerate(PREFERRED)}
    return dict(sorted(found.items(), key=lambda item: rank.get(item[0], len(rank))))


def settings_of(opened: Opened) -> Mapping[str, Any]:
    """The arguments of the training, where a file has them as ``args``; else empty."""
    held = opened.value.get("args") if isinstance(opened.value, Mapping) else None
    state = held.state if isinstance(held, Record) else held
    return state if isinstance(state, Mapping) else {}


def _bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in WRAPPED:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): t for name, t in tensors.items()}
    return tensors
