"""Reference solutions: where the probability flow, or the path of the reverse SDE, ends."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .doubling import Doubling, solve_by_doubling
    from .endpoints import solve

__all__ = [
    "Doubling",
    "solve",
    "solve_by_doubling",
]

_HOMES = {
    "Doubling": "doubling",
    "solve": "endpoints",
    "solve_by_doubling": "doubling",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
