"""Atomic writes, and cautious reads, of text, JSON and arrays.

A write goes to a hidden ``*.part`` file in the same folder, which is flushed and then renamed. So a
process killed at any moment leaves the old file or the new one. Reads refuse pipes, devices, and
files that would need more memory than their size allows.
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
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

PART = ".part"  # suffix of a file that is being written
TRIES = 4  # attempts to write if another process deletes the *.part file, or to read a stale file

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
    RuntimeError,  # for encrypted archives, and unknown compression
    SyntaxError,
    tokenize.TokenError,  # numpy parses headers as Python text
)
"""Exceptions that reading a damaged archive can raise."""

PAUSE = 0.05  # seconds between two attempts to read a stale file
LARGEST_JSON = 32 << 20
"""Bytes of the largest JSON file that is read. Parsed, it may take 50 times as much memory."""


class UnusualFileError(OSError):
    """Error: a path is a pipe or a device, or the file there is too large."""


def write_atomic(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file, completely or not at all. A missing folder is created.

    ``fill`` writes the content to an open file. It is called again if the ``*.part`` file vanishes.
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
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            error.filename = str(path)  # the error of a full disk names no file
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, atomically."""
    write_atomic(path, lambda file: file.write(content))


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return the bytes of a regular file of at most ``most`` bytes (None: half of all memory).

    A network file system may call a file stale (ESTALE) that another machine just replaced. Then the
    file is read again.

    Raises:
        UnusualFileError: ``path`` is a pipe or a device, or the file is too large.
        OSError: the file cannot be read.
    """
    for _ in range(TRIES - 1):
        try:
            return _read_regular_once(path, most)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        time.sleep(PAUSE)
    return _read_regular_once(path, most)


def _read_regular_once(path: Path, most: int | None) -> bytes:
    with open(path, "rb", opener=_open_without_waiting) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise UnusualFileError(errno.EINVAL, "it is a pipe or a device", str(path))
        if about.st_size > (_half_of_memory_bytes() if most is None else most):
            raise UnusualFileError(errno.EFBIG, "it is too large", str(path))
        return file.read()


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file as ``os.open`` does. A pipe is opened at once, even without a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _half_of_memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # the system does not tell its memory
        return 1 << 34


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically (:func:`json_text`)."""
    write_text(path, json_text(value))


def json_text(value: object, *, spread: bool = True) -> str:
    """Return ``value`` as text of a JSON file. Floats keep all digits; non-finite ones become null.

    Numpy scalars and arrays become numbers and lists. With ``spread``, nested objects are indented
    too, which is ten times as slow. Otherwise each item of the outermost object has one line.
    """
    try:
        return _encode_json(value, spread)
    except (TypeError, ValueError):  # numpy types, paths, and numbers that are not finite
        return _encode_json(to_jsonable(value), spread)


def _encode_json(value: object, spread: bool) -> str:
    if spread:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if not isinstance(value, dict) or not value:
        return f"{_compact(value)}\n"
    items = (f"  {_compact(str(key))}: {_compact(item)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + "\n}\n"


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if missing, damaged, too large or no object.

    Raises an OSError for a file that exists but cannot be read.
    """
    try:
        value = json.loads(read_regular(path, LARGEST_JSON))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnusualFileError):
        return None
    except (ValueError, RecursionError):  # no JSON
        return None
    return value if isinstance(value, dict) else None


def write_arrays(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers or text to an open file as an uncompressed ``.npz`` archive.

    Raises a TypeError if an array holds Python objects.
    """
    converted = {name: np.asanyarray(array) for name, array in arrays.items()}
    pickled = [name for name, array in converted.items() if array.dtype.hasobject]
    if pickled:
        raise TypeError(
            f"array {pickled[0]!r} holds Python objects, which only a pickle could store"
        )
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in converted.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def read_archive(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """Return the arrays of an open ``.npz`` archive by name, after checking their CRC-32.

    Raises one of :data:`UNREADABLE` if the file is no such archive, holds pickles, or has arrays
    larger than the file, as most compressed archives do.
    """
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > size:
            raise ValueError("its arrays are larger than it is")
        arrays = {
            name.removesuffix(".npy"): npy.read_array(
                io.BytesIO(archive.read(name)), allow_pickle=False
            )
            for name in archive.namelist()
        }
    if any(array.size > size for array in arrays.values()):  # texts of length 0 have no bytes
        raise ValueError("its arrays are larger than it is")
    return arrays


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers or text as an uncompressed ``.npz`` file, atomically."""
    write_atomic(path, lambda file: write_arrays(file, arrays))


def read_npz(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of an ``.npz`` file; None if it is missing, damaged, or holds a pickle."""
    try:
        return read_archive(io.BytesIO(read_regular(path)))
    except UNREADABLE:
        return None


def to_jsonable(value: object) -> object:
    """Return ``value`` in JSON's types. Non-finite numbers become None, numpy arrays lists."""
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
