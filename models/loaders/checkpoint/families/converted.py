"""What ``samplerbench convert`` writes: a folder with the weights of one of this project's networks as
safetensors, and ``card.json`` with the specification that was resolved.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from dataclasses import replace
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from .... import nets
from ....adapters import Network
from ....checkpoints.mapping import OneHot
from ....checkpoints.opening import AGAIN, CheckpointError, Opened
from ....checkpoints.specification import Specification
from ....checkpoints.weights import built, filled

CARD, WEIGHTS = "card.json", "model.safetensors"
FORMAT, VERSION = "samplerbench checkpoint", 1
"""What a card begins with."""


def recognise(opened: Opened) -> Specification | None:
    """A folder with such a card.

    Raises:
        CheckpointError: the card is of another version or damaged, or the weights are missing.
    """
    if opened.container != "folder" or not (opened.path / CARD).is_file():
        return None
    card = opened.config(CARD)
    if card.get("format") != FORMAT:
        return None
    if card.get("version") != VERSION:
        raise CheckpointError(
            f"{opened.path}: its card is of version {card.get('version')}, and {VERSION} is read; "
            "convert the original again"
        )
    if not (opened.path / WEIGHTS).is_file():
        raise CheckpointError(f"{opened.path}: {WEIGHTS} is missing; copy the whole folder")
    try:
        spec = Specification.from_json(card["specification"])
        original = card["original"]
        evidence = f"it was converted from {original['name']}, of the family {original['family']}"
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{opened.path}: its {CARD} is damaged ({error}); convert the original again"
        ) from None
    return replace(
        spec,
        family="converted",
        weights={"file": str(opened.path / WEIGHTS)},
        evidence=(evidence, *spec.evidence),
    )


def network(spec: Specification, opened: Opened) -> Network:
    """The network.

    Raises:
        CheckpointError: it is none of this project's, or the weights do not fit it or are damaged.
    """
    kind = network_class(spec.network.get("class"))
    if kind is None:
        raise CheckpointError(
            f"{opened.path}: there is no network {spec.network.get('class')!r} here; use the version "
            "of samplerbench that converted it"
        )
    try:
        tensors = safetensors.torch.load_file(opened.path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{opened.path / WEIGHTS} is cut short or damaged ({error}); {AGAIN}"
        ) from None
    made = built(kind, spec.network.get("arguments", {}), opened.path)
    return filled(wrapped(made, spec.network.get("labels", ""), spec.classes), tensors, opened.path)


def network_class(name: Any) -> type[nn.Module] | None:
    """The network of this name in :mod:`samplerbench.models.nets`; None if there is none."""
    if not isinstance(name, str):
        return None
    for info in pkgutil.walk_packages(nets.__path__, f"{nets.__name__}."):
        module = importlib.import_module(info.name)
        found = vars(module).get(name)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
    return None


def wrapped(network: nn.Module, labels: str, classes: int) -> nn.Module:
    """The network, called with class numbers though it takes one-hot rows, if ``labels`` says so."""
    return OneHot(network, classes) if labels == "one-hot" else network


def card_of(spec: Specification, network: Network, opened: Opened) -> dict[str, Any] | None:
    """The card of a network with its specification; None if it is none of this project's.

    Args:
        spec: resolved.
        network: of it.
        opened: what both are of.
    """
    inner = network.network if isinstance(network, OneHot) else network
    if type(inner) is not network_class(spec.network.get("class")):
        return None
    plain = json.loads(json.dumps(spec.as_json()))
    plain["weights"] = {k: v for k, v in plain["weights"].items() if k != "file"}
    plain["network"]["labels"] = "one-hot" if inner is not network else ""
    return {
        "format": FORMAT,
        "version": VERSION,
        "original": {"name": opened.path.name, "family": spec.family, "sha256": opened.content},
        "specification": plain,
    }
