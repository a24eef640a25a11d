"""The run directory: its files, what proves them, and how they are read, written and set aside."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .files import read_npz, write_npz, write_text

__all__ = ["read_npz", "write_npz", "write_text"]


def __getattr__(name: str) -> Any:
    """Import what reads arrays when it is asked for: NumPy takes its time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.files"), name)
