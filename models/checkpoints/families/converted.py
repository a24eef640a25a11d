"""Folders of ``samplerbench convert``: a network of this project as safetensors, and a card.

The card, ``card.json``, holds the resolved specification of the network.

Files: ``model.safetensors`` and ``card.json``.
Process: as in the card.
Prediction: as in the card.
Say: nothing.
Refused: cards of another version, and weights that do not fit the card.
From noise alone: as for the original.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from ... import nets
from ...adapters import Network
from ..checkpoint_denoiser import OneHot
from ..opening import CheckpointError, OpenedCheckpoint, damaged_error
from ..specification import Specification
from ..weights import construct_network, fill_network

CARD, WEIGHTS = "card.json", "model.safetensors"
FORMAT, VERSION = "samplerbench checkpoint", 1


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification in a folder of ``samplerbench convert``; None for other folders."""
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


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the network that the card names, with the weights of the folder."""
    kind = network_class(spec.network.get("class"))
    if kind is None:
        problem = f"{opened.path}: there is no network {spec.network.get('class')!r} here"
        raise CheckpointError(f"{problem}; use the version of samplerbench that converted it")
    try:
        tensors = safetensors.torch.load_file(opened.path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise damaged_error(opened.path / WEIGHTS, error) from None
    bare: nn.Module = construct_network(kind, spec.network.get("arguments", {}), opened.path)
    one_hot = spec.network.get("labels") == "one-hot"
    return fill_network(OneHot(bare, spec.classes) if one_hot else bare, tensors, opened.path)


def network_class(name: Any) -> type[nn.Module] | None:
    """Return the class ``name`` in :mod:`samplerbench.models.nets`; None if there is none."""
    if not isinstance(name, str):
        return None
    for info in pkgutil.iter_modules(nets.__path__, f"{nets.__name__}."):
        module = importlib.import_module(info.name)
        value = vars(module).get(name)
        if isinstance(value, type) and issubclass(value, nn.Module):
            return value
    return None


def card_of(
    spec: Specification, network: Network, opened: OpenedCheckpoint
) -> dict[str, Any] | None:
    """Return the content of a ``card.json``; None if the network's class is not this project's."""
    inner = network.network if isinstance(network, OneHot) else network
    if type(inner) is not network_class(spec.network.get("class")):
        return None
    plain = spec.as_json()
    plain["weights"].pop("file", None)
    plain["network"]["labels"] = "one-hot" if inner is not network else ""
    return {
        "format": FORMAT,
        "version": VERSION,
        "original": {"name": opened.path.name, "family": spec.family, "sha256": opened.sha256},
        "specification": plain,
    }
