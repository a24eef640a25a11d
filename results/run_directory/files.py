"""Files that are whole or absent: atomic writes, and reads to which a damaged file is missing.

A write goes to a hidden ``*.part`` file in the same folder, is flushed to the disk and then
renamed, so a process killed at any moment leaves the old file or the new one under the final name,
never half of one.

What is read may be somebody else's: pipes and devices are not waited for, and nothing is larger in
memory than it can be on the disk.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
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
    TypeError,
    OverflowError,
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
LARGEST_JSON = 32 << 20
"""Bytes of the largest JSON file that is read: parsed, it may take fifty times as many."""


class StrangeFileError(OSError):
    """What should be a file is a pipe or a device, or larger than such a file can be."""


def read_regular(path: Path, most: int | None = None) -> bytes:
    """All bytes of a file.

    Of one that another machine replaced just now, a network file system may say that what was known
    of it is stale (ESTALE): asked again, it finds the new one.

    Args:
        path: where; a link to a file is followed.
        most: bytes that it may have; None for half of this machine's memory.

    Raises:
        StrangeFileError: it is a pipe or a device, whose reading may never end, or too large.
        OSError: it cannot be read.
    """
    for _ in range(TRIES - 1):
        try:
            return _read_once(path, most)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        time.sleep(PAUSE)
    return _read_once(path, most)


def _read_once(path: Path, most: int | None) -> bytes:
    with open(path, "rb", opener=_without_waiting) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise StrangeFileError(errno.EINVAL, "it is a pipe or a device", str(path))
        if about.st_size > (_half_of_memory() if most is None else most):
            raise StrangeFileError(errno.EFBIG, "it is too large", str(path))
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    """``os.open`` that returns at once for a pipe that nobody writes to."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _half_of_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return 1 << 34


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
        value = json.loads(read_regular(path, LARGEST_JSON))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, StrangeFileError):
        return None
    except (ValueError, RecursionError):
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
        return arrays_in(io.BytesIO(read_regular(path)))
    except UNREADABLE:
        return None


def arrays_in(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """The arrays of an open ``.npz`` file, as :func:`write_npz` stores them: uncompressed.

    One of :data:`UNREADABLE` is raised if it is none, holds a pickle, or would be larger in memory
    than it is.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        if not isinstance(stored, np.lib.npyio.NpzFile) or stored.zip is None:
            raise ValueError("it is no archive of arrays")
        if sum(member.file_size for member in stored.zip.infolist()) > size:
            raise ValueError("its arrays are larger than it is")
        arrays = {name: stored[name] for name in stored.files}
    if any(array.size > size for array in arrays.values()):  # of texts without letters
        raise ValueError("its arrays are larger than it is")
    return arrays


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
