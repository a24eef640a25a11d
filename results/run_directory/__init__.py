"""The run directory: its files, what proves them, and how they are read, written and set aside."""

from .disk.files import read_npz, write_npz, write_text

__all__ = ["read_npz", "write_npz", "write_text"]
