"""Paths in a suite, relative to the suite's own file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .spec import format_spec, parse_spec

DATA_SETS = ("fashion-mnist", "digits", "emoji")
"""Real samples that a suite names instead of a file."""

_PREFIX = re.compile(r"((?:[a-z0-9][a-z0-9_-]+:)*)(.+)", re.DOTALL)
"""Schemes, as in ``truncate:inception:weights.pth``, and a file; one letter is a drive."""
_FILE = re.compile(r"\.(py(:|$)|(npy|npz|json|pth?|pkl)$)|(^|:)(inception|dinov2|clip):")


def with_placed_files(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve the paths of models, schedules, extractor and real samples against the suite's
    folder.

    Args:
        data: content of the TOML file; entries that are no such files stay unchanged.
        folder: of the TOML file. In the working directory nothing changes, and no digest.
    """
    placed = dict(data)
    if folder.resolve() == Path.cwd():
        return placed
    for axis in ("models", "schedules"):
        if isinstance(placed.get(axis), list):
            placed[axis] = [_resolve_entry(entry, folder) for entry in placed[axis]]
    for key in ("extractor", "reference", "real"):
        if isinstance(placed.get(key), str):
            placed[key] = _resolve_text(placed[key], folder)
    for key in ("reference", "real"):  # a folder of images
        source = placed.get(key)
        if isinstance(source, str) and source not in DATA_SETS and (folder / source).is_dir():
            placed[key] = str(folder / source)
    return placed


def _resolve_entry(entry: Any, folder: Path) -> Any:
    """Resolve a model or schedule: a text, or a table whose ``name`` is a text or another table."""
    if isinstance(entry, str):
        try:
            spec = parse_spec(entry)
        except ValueError:
            return entry  # said when the suite is checked
        moved = _resolve_table(spec, folder)
        return entry if moved == spec else format_spec(moved)
    return _resolve_table(entry, folder) if isinstance(entry, Mapping) else entry


def _resolve_table(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    def moved(value: Any) -> Any:
        return (
            _resolve_table(value, folder)
            if isinstance(value, Mapping)
            else _resolve_text(value, folder)
            if isinstance(value, str)
            else value
        )

    return {key: moved(value) for key, value in table.items()}


def _resolve_text(text: str, folder: Path) -> str:
    match = _PREFIX.fullmatch(text)
    if match is None or not _FILE.search(text):
        return text
    return (match[1] or "") + str(folder / match[2])


def behind_schemes(text: str) -> str:
    """Return the part after the schemes of ``truncate:inception:weights.pth``: a file, if any."""
    match = _PREFIX.fullmatch(text)
    return text if match is None else match[2]
