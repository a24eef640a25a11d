"""Files that were opened, by names that can be found again, with the hashes of their contents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .user_files import file_hash


def name_from(folder: Path, path: str) -> str:
    """Return the path of a file from ``folder``, or its absolute path if it is not in there."""
    root = os.path.realpath(folder)
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return os.path.relpath(place, root) if place.startswith(root + os.sep) else path


def difference_of(folder: Path, opened: Mapping[str, str]) -> str:
    """Return what became of the first file that is another one by now, in a clause; "" for none."""
    for name, before in opened.items():
        now = file_hash(os.path.join(folder, name)) or ""
        if now != before:
            return f"{os.path.basename(name)} {'changed' if now else 'is gone'}"
    return ""
