"""Runs a suite into a run directory: executors, interim looks, progress and provenance."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runner import run
    from .setup import Setup, set_up

__all__ = ["Setup", "run", "set_up"]

_HOMES = {"Setup": "setup", "run": "runner", "set_up": "setup"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
