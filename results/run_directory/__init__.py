"""The run directory: its files, what proves them, and how they are read, written and set aside."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .disk.files import read_npz, write_npz, write_text

__all__ = [
    "read_npz",
    "write_npz",
    "write_text",
]

_HOMES = {
    "read_npz": "disk.files",
    "write_npz": "disk.files",
    "write_text": "disk.files",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
