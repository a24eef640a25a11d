"""From a cell to samples: batches, counted evaluations, execution modes, shards, trajectories."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batch import latents
    from .engine import engine_of
    from .failure import Failure
    from .shard import clamp

__all__ = ["Failure", "clamp", "engine_of", "latents"]

_HOMES = {"Failure": "failure", "clamp": "shard", "engine_of": "engine", "latents": "batch"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
