"""Sampling of a cell: batches, counted evaluations, execution modes, shards and trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .batch import latents
    from .engine import engine_of
    from .failure import Failure
    from .shard import clamp

__all__ = ["Failure", "clamp", "engine_of", "latents"]

_HOMES = {"batch": "latents", "engine": "engine_of", "failure": "Failure", "shard": "clamp"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
