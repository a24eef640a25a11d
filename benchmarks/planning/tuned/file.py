"""JSON file of tuning results: one entry for each model, sampler and number of steps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ....results.run_directory.files import LARGEST_JSON, read_regular, write_json
from ...suites.suite import Strict
from .entry import Tuned


class _File(Strict):
    """Content of the whole file."""

    tuned: tuple[Tuned, ...]


def read_tuned(path: Path) -> tuple[Tuned, ...]:
    """Read the entries of a file.

    Raises:
        OSError: there is no such file.
        ValueError: it holds something else.
    """
    content = read_regular(path, LARGEST_JSON)
    try:
        return _File.model_validate_json(content).tuned
    except ValidationError as error:
        raise ValueError(
            f"{path} is no file of tuned schedules, or one of another "
            "version; give another file to tune into"
        ) from error


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, before hours of search.

    Raises:
        ValueError: its folder is missing, or it or its folder is read-only.
    """
    if not path.parent.is_dir():
        raise ValueError(
            f"cannot write {path}: there is no folder {path.parent}; make "
            "it, or choose another file with --out"
        )
    if not os.access(path.parent, os.W_OK) or (path.exists() and not path.stat().st_mode & 0o222):
        raise ValueError(
            f"cannot write {path}: it is read-only, or its folder is; choose "
            "another file with --out"
        )


def write_tuned(path: Path, entries: Iterable[Tuned]) -> None:
    """Write a file of entries, atomically."""
    write_json(path, {"tuned": [entry.model_dump(mode="json") for entry in entries]})
