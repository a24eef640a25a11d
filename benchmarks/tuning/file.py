"""The JSON file of what tuning found: one entry for each model, sampler and number of steps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ...results.files import write_json
from ..suite import Strict
from .entry import Tuned


class _File(Strict):
    """The whole file."""

    tuned: tuple[Tuned, ...]


def read_tuned(path: Path) -> tuple[tuple[Tuned, ...], str]:
    """The entries of a file, and the first eight hexadecimal digits of its SHA-256.

    Raises:
        OSError: there is no such file.
        ValueError: it holds something else.
    """
    content = path.read_bytes()
    try:
        found = _File.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"{path} is no file of tuned schedules, or one of another version; give another file to tune into") from error
    return found.tuned, hashlib.sha256(content).hexdigest()[:8]


def write_tuned(path: Path, entries: Iterable[Tuned]) -> None:
    """Write a file of entries, atomically."""
    write_json(path, {"tuned": [entry.model_dump(mode="json") for entry in entries]})
