"""Installed distributions, listed quickly: without an import."""

from __future__ import annotations

import sys
from pathlib import Path


def packages() -> dict[str, str]:
    """Versions of the installed distributions by name, from the names of their folders: to read
    the metadata of all takes 0.1 s.
    """
    versions = {}
    # Python imports the first of one name
    for place in reversed([Path(entry or ".") for entry in sys.path]):
        for folder in place.glob("*.dist-info") if place.is_dir() else ():
            name, _, version = folder.stem.partition("-")
            versions[name] = version
    return dict(sorted(versions.items()))
