"""Files that are whole or absent: atomic writes, and reads to which a damaged file is missing.

A write goes to a hidden ``*.part`` file in the same folder, is flushed to the disk and then
renamed, so a process killed at any moment leaves the old file or the new one under the final name,
never half of one.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    AttributeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # the archive says that it is encrypted, or compressed in a way that nobody knows
    SyntaxError,
    tokenize.TokenError,  # headers are parsed as Python text
)
"""What reading a damaged archive can raise."""

PART = ".part"
"""Suffix of a file that is being written."""

TRIES, PAUSE = 4, 0.05
"""How often a file is asked for that another machine is just replacing, and seconds between."""


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
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say what it had no room for
        raise


def read_bytes(path: Path) -> bytes:
    """What is in a file.

    Of one that another machine replaced just now, a network file system may say that what was known
    of it is stale (ESTALE): asked again, it finds the new one.

    Raises:
        OSError: it cannot be read.
    """
    for _ in range(TRIES - 1):
        try:
            return path.read_bytes()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        time.sleep(PAUSE)
    return path.read_bytes()


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    write_atomic(path, lambda file: file.write(content))


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8, atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, atomically.

    Floats keep all their digits. JSON knows no infinity: what is not finite becomes null, and the
    row's ``status`` says why. Numpy scalars and arrays are written as numbers and lists.
    """
    write_text(
        path, json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file is missing, damaged, or holds anything else."""
    try:
        value = json.loads(read_bytes(path).decode())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays of numbers or text, uncompressed, atomically."""
    pickled = [name for name, array in arrays.items() if np.asanyarray(array).dtype.hasobject]
    if pickled:
        raise TypeError(
            f"array {pickled[0]!r} holds Python objects, which only a pickle could store"
        )
    write_atomic(path, lambda file: np.savez(file, **dict(arrays)))  # pyright: ignore[reportArgumentType]


def read_npz(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of an ``.npz`` file, all read and checksummed.

    None if the file is missing or damaged. Pickles are refused.
    """
    try:
        with path.open("rb") as file:  # np.load(path) leaks the file if it is damaged
            return arrays_in(file)
    except UNREADABLE:
        return None


def arrays_in(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """The arrays of an open ``.npz`` file.

    One of :data:`UNREADABLE` is raised if it is none, or holds a pickle.
    """
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def jsonable(value: object) -> object:
    """``value`` in the types that JSON has; what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
