"""Network in a pickle of NVIDIA's ``torch_utils.persistence``, and its arguments."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from .opening import AGAIN, CheckpointError, Opened
from .pickles import PersistentObject, Record
from .weights import WRAP


@dataclass(frozen=True)
class PersistentNetwork:
    """Network of such a pickle.

    Attributes:
        network: with its preconditioning.
        entry: key of the dictionary with the network; "" if the file is the network alone.
    """

    network: PersistentObject
    entry: str

    @property
    def given(self) -> Mapping[str, Any]:
        """Arguments of the network and its plain attributes, defaults included."""
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
    """Return the averaged weights of such a pickle, or None for another file.

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


def raw_network(
    opened: Opened,
    outer: PersistentObject,
    attribute: str,
    networks: Mapping[str, Callable[..., Any]],
    own: Set[str],
    assumed: Mapping[str, Any] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Return class and arguments of the network inside a preconditioning.

    Args:
        opened: for the messages.
        outer: the preconditioning.
        attribute: of the preconditioning, that holds the network.
        networks: classes by name.
        own: arguments of the preconditioning that are none of the network's.
        assumed: arguments of a network that does not say its own.

    Raises:
        CheckpointError: no such class, or arguments that neither class has, or too few.
    """
    outer_arguments, path = arguments_of(outer), opened.path
    inner = (outer.state.get("_modules") or {}).get(attribute)
    if not isinstance(inner, Record):
        raise CheckpointError(f"{path}: its {outer.class_name} has no network; {AGAIN}")
    inner_class = (
        inner.class_name
        if isinstance(inner, PersistentObject)
        else outer_arguments.get("model_type")
    )
    if (name := str(inner_class)) not in networks:
        raise CheckpointError(
            f"{path}: {outer.class_name} is around a {name}, which is none of "
            f"{', '.join(networks)}, and the code in the file is not executed; {WRAP}"
        )
    parameters = inspect.signature(networks[name]).parameters
    if strange := sorted(set(outer_arguments) - set(parameters) - own):
        raise CheckpointError(
            f"{path}: its {outer.class_name} has {', '.join(strange)}, which the published one has not, "
            f"and the code in the file is not executed; {WRAP}"
        )
    outside = {key: value for key, value in outer_arguments.items() if key in parameters}
    arguments = arguments_of(inner) or {**outside, **(assumed or {})}
    needed = [key for key, p in parameters.items() if p.default is p.empty]
    if lacking := [key for key in needed if key not in arguments]:
        raise CheckpointError(
            f"{path}: its {name} does not say its {', '.join(lacking)}; the file is none that "
            f"NVIDIA's training wrote; {WRAP}"
        )
    return name, arguments


def arguments_of(network: Record) -> dict[str, Any]:
    """Return the arguments that made a network, as plain values; empty if the file has none."""
    state = network.state if isinstance(network.state, dict) else {}
    return {key: _plain(value) for key, value in (state.get("_init_kwargs") or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | str | None) else repr(value)
