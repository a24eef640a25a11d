"""What papers report, and how a run compares with it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rows import Published, rows_of_model
    from .solvers import GRIDS

__all__ = [
    "GRIDS",
    "Published",
    "rows_of_model",
]

_HOMES = {
    "GRIDS": "solvers",
    "Published": "rows",
    "rows_of_model": "rows",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
