"""The network in a pickle of NVIDIA's ``torch_utils.persistence``, and what it says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .opening import CheckpointError, Opened
from .pickles import PersistentObject, Record


@dataclass(frozen=True)
class PersistentNetwork:
    """A network of such a pickle.

    Attributes:
        network: with its preconditioning.
        entry: of the dictionary that it was found in; "" where the file is the network alone.
    """

    network: PersistentObject
    entry: str

    @property
    def given(self) -> Mapping[str, Any]:
        """Its arguments, and its attributes, which include those that were left at their defaults."""
        plain = {k: v for k, v in self.network.state.items() if isinstance(v, int | float | str)}
        return {**arguments_of(self.network), **plain}

    def evidence(self, classes: str) -> tuple[str, ...]:
        """Sentences for the specification."""
        source = hashlib.sha256(self.network.source.encode()).hexdigest()
        half = "it was trained in float16 and runs in float32 here"
        return (
            f"a pickle of torch_utils.persistence with the class {classes}",
            f"the source of the class has the SHA-256 {source}, and was not executed",
            *([half] if self.given.get("use_fp16") else []),
        )


def persistent_network(opened: Opened) -> PersistentNetwork | None:
    """The averaged weights of such a pickle; None if it is none.

    Raises:
        CheckpointError: it is the state of a training, with weights that were not averaged.
    """
    value = opened.value
    if isinstance(value, PersistentObject) and value.state.get("_modules"):
        return PersistentNetwork(value, "")
    if not isinstance(value, Mapping):
        return None
    if isinstance(network := value.get("ema"), PersistentObject):
        return PersistentNetwork(network, "ema")
    if isinstance(value.get("net"), PersistentObject):
        raise CheckpointError(
            f"{opened.path} is the state of a training, with weights that are not averaged; give "
            "the network-snapshot-*.pkl beside it"
        )
    return None


def arguments_of(network: Record) -> dict[str, Any]:
    """The arguments that a network was made with, as plain values; empty where nobody wrote them
    down.
    """
    state = network.state if isinstance(network.state, dict) else {}
    return {key: _plain(value) for key, value in (state.get("_init_kwargs") or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | str | None) else repr(value)
