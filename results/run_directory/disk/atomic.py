"""Atomic writes: a file is whole or absent.

A write goes to a hidden ``*.part`` file in the same folder, is flushed to the disk and then
renamed. A process killed at any moment leaves the old file or the new one under the final name,
never half of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

PART = ".part"
"""Suffix of a file that is being written."""
TRIES = 4
"""Attempts to write a file that another process removes meanwhile."""


def write_atomic(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Make ``path`` hold what ``fill`` writes, or leave it as it was.

    Args:
        path: the final name; its folder is made if need be.
        fill: writes the content to a binary file; called again where another process took the file
            that was being written for one of a process that was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES - 1):
        try:
            return _write_once(path, fill)
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
    return _write_once(path, fill)


def _write_once(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    part = path.with_name(f".{path.name}.{uuid4().hex[:12]}{PART}")
    try:
        with part.open("xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        _give_up(part, path, error)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    write_atomic(path, lambda file: file.write(content))


def write_part(path: Path, content: bytes) -> str:
    """Write ``content`` next to ``path``, making its folder; return the path to flush and rename."""
    part = f"{path.parent}/.{path.name}.{uuid4().hex[:12]}{PART}"
    try:
        try:
            file = open(part, "xb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(part, "xb")  # noqa: SIM115
        with file:
            file.write(content)
    except BaseException as error:
        _give_up(part, path, error)
        raise
    return part


def flush_file(part: str) -> None:
    """Have what was written to a file on the disk."""
    number = os.open(part, os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _give_up(part: Path | str, path: Path, error: BaseException) -> None:
    """Leave nothing of a file that could not be written."""
    with suppress(OSError):
        os.unlink(part)
    if isinstance(error, OSError) and error.filename in (None, str(part)):
        error.filename = str(path)  # a full disk does not say what it had no room for
