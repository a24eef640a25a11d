"""Run directory: layout, sealed files, reading, writing, and setting aside of damaged parts."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .files import read_npz, write_npz, write_text

__all__ = ["read_npz", "write_npz", "write_text"]

__getattr__, __dir__ = lazy(__name__, {"files": "read_npz write_npz write_text"})
