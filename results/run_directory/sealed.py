"""Sealed files: each contains a seal with its place, its ``made_by``, its schema and a checksum.

A *place* is a path relative to the run directory. Readers check the seal. So they notice flipped
bits, edits, files of another cell, and files made by other code.

A JSON file is an object whose first item is the seal. An ``.npz`` file is a zip archive with the
seal as its comment. ``sha256`` in the seal is the digest of the whole file with 64 zeros in place of
the digest. ``schema`` is the version of the file format (:data:`SCHEMA`).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .files import (
    LARGEST_JSON,
    UNREADABLE,
    json_text,
    read_archive,
    read_regular,
    write_arrays,
    write_bytes,
)

Arrays = dict[str, NDArray[Any]]

SCHEMA = 2
"""Version of the format of a run directory's files.

Version 1, before release 0.1.0, has no seals (:attr:`.RunReader.predates_checksums`). Version 2 has
seals, which lack the version in release 0.1.0. A change that older readers would misread raises the
version. Files of older versions stay valid.
"""

KEY = "seal"
_EMPTY = "0" * 64
_MARK = b"samplerbench seal "
_ARCHIVE = b"PK"  # first bytes of a zip archive
_LARGEST_COMMENT = 65535  # bytes; limit of the zip format


class DamagedError(Exception):
    """Error: a file is damaged or does not belong to its place; the message gives the reason."""


class NewerError(ValueError):
    """Error: a newer samplerbench made the file. The file is sound, so it must not be set aside."""


class UnsealedError(DamagedError):
    """Error: a file has no seal, as in runs older than seals."""

    def __init__(self) -> None:
        super().__init__("it has no seal")


@dataclass(frozen=True)
class Seal:
    """Seal of a file: place, digest of the fingerprints that made it, and checksum.

    ``made_by`` is the digest of the fingerprints of sampler, model and extractor
    (:mod:`.behaviour_fingerprint`); "" for a file that does not depend on them.
    """

    of: str  # place in the run directory, such as parts/CELL/quality.json
    made_by: str = ""
    sha256: str = _EMPTY  # of the file, 64 hexadecimal digits

    def as_dict(self) -> dict[str, str | int]:
        """Return the seal as the dictionary that is written to files."""
        return {
            "of": self.of,
            "made_by": self.made_by,
            "schema": SCHEMA,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class OpenedFile:
    """Content and seal of a file that was read, or the fault that was found.

    Attributes:
        seal: valid seal; None if there is none.
        value: object or arrays of the file; None if there are none, or they were not requested.
        fault: exception that :meth:`check` raises; None for a sound file.
    """

    seal: Seal | None = None
    value: dict[str, Any] | None = None
    fault: DamagedError | FileNotFoundError | None = None

    def check(self, made_by: str | None = None, sha256: str | None = None) -> None:
        """Check that the file is sound, and has the given ``made_by`` and digest (None: any).

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: the check fails; an :class:`UnsealedError` if the file has no seal.
        """
        if self.fault is not None:
            raise self.fault.with_traceback(None)
        assert self.seal is not None
        if made_by is not None and self.seal.made_by != made_by:
            raise DamagedError("other code made it than its cell says")
        if sha256 is not None and self.seal.sha256 != sha256:
            raise DamagedError("it is not the one that was written with quality.json")


class SealedFile(NamedTuple):
    """File to be written: its bytes ``data``, and the seal that is in them."""

    data: bytes
    seal: Seal


def sealed_json(
    value: Mapping[str, Any], of: str, made_by: str = "", *, spread: bool = False
) -> SealedFile:
    """Return a JSON object with its seal as a file to be written at the place ``of``.

    ``value`` may hold numpy scalars and arrays. Values that are not finite become null. ``spread`` is
    as in :func:`.files.json_text`.
    """
    data = json_text({KEY: Seal(of, made_by).as_dict(), **value}, spread=spread).encode()
    digest = hashlib.sha256(data).hexdigest()
    return SealedFile(data.replace(_EMPTY.encode(), digest.encode(), 1), Seal(of, made_by, digest))


def write_json(path: Path, value: Mapping[str, Any], of: str, made_by: str = "") -> None:
    """Write a JSON object with its seal (:func:`sealed_json`) atomically."""
    write_bytes(path, sealed_json(value, of, made_by).data)


def read_json(path: Path, of: str, made_by: str | None = None) -> dict[str, Any]:
    """Return the object in a sealed JSON file. Raises as :meth:`OpenedFile.check`."""
    opened = open_sealed(path, of)
    opened.check(made_by)
    assert opened.value is not None
    return opened.value


def sealed_npz(arrays: Mapping[str, NDArray[Any]], place: str, made_by: str = "") -> SealedFile:
    """Return arrays with their seal as an ``.npz`` file to be written at ``place``, uncompressed.

    Raises a TypeError if an array holds Python objects.
    """
    buffer = io.BytesIO()
    write_arrays(buffer, arrays)
    comment = _MARK + json.dumps(Seal(place, made_by).as_dict()).encode()
    # the last two bytes are the length of the comment, here 0
    data = buffer.getvalue()[:-2] + len(comment).to_bytes(2, "little") + comment
    digest = hashlib.sha256(data).hexdigest()
    start = len(data) - len(comment)
    comment = comment.replace(_EMPTY.encode(), digest.encode(), 1)
    return SealedFile(data[:start] + comment, Seal(place, made_by, digest))


def as_if_opened(file: SealedFile) -> OpenedFile:
    """Return a just written file as if it had been opened, with its JSON object but no arrays."""
    if file.data.startswith(_ARCHIVE):
        return OpenedFile(file.seal)
    value: dict[str, Any] = json.loads(file.data)
    value.pop(KEY)
    return OpenedFile(file.seal, value)


def open_sealed(path: Path, of: str, *, arrays: bool = True) -> OpenedFile:
    """Read an ``.npz`` file or, with another suffix, a JSON file, sealed for place ``of``.

    Faults are returned, but a NewerError is raised. With ``arrays`` False, only the seal of an
    ``.npz`` file is checked, which covers the arrays, and its ``value`` is None.
    """
    is_npz = path.suffix == ".npz"
    try:
        data = read_regular(path, None if is_npz else LARGEST_JSON)
    except (FileNotFoundError, NotADirectoryError):
        return OpenedFile(fault=FileNotFoundError(path))
    except OSError as error:
        return OpenedFile(fault=DamagedError(f"it cannot be read: {error.strerror}"))
    except MemoryError:
        return OpenedFile(fault=DamagedError("it is larger than the memory that is left"))
    try:
        return _parse_npz(data, of, arrays=arrays) if is_npz else _parse_json(data, of)
    except DamagedError as fault:
        return OpenedFile(fault=fault)
    except NewerError as newer:
        raise NewerError(f"{path} {newer}") from None


def _parse_json(data: bytes, of: str) -> OpenedFile:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError("it is no JSON") from error
    if not isinstance(value, dict):
        raise DamagedError("it is no JSON object")
    if KEY not in value:
        return OpenedFile(value=value, fault=UnsealedError())
    return OpenedFile(seal=_verified_seal(data, value.pop(KEY), of), value=value)


def _parse_npz(data: bytes, of: str, *, arrays: bool) -> OpenedFile:
    start = data.rfind(_MARK, -_LARGEST_COMMENT)
    if start < 0 and not zipfile.is_zipfile(io.BytesIO(data)):
        raise DamagedError("it is no archive of arrays")
    if start < 0:
        return OpenedFile(value=_parse_arrays(data) if arrays else None, fault=UnsealedError())
    try:
        words = json.loads(data[start + len(_MARK) :])
    except (ValueError, RecursionError) as error:
        raise DamagedError("its seal is damaged") from error
    seal = _verified_seal(data, words, of, start)
    return OpenedFile(seal=seal, value=_parse_arrays(data) if arrays else None)


def _parse_arrays(data: bytes) -> Arrays:
    try:
        return read_archive(io.BytesIO(data))
    except UNREADABLE as error:
        raise DamagedError("its arrays cannot be read") from error


def _verified_seal(data: bytes, words: Any, of: str, start: int = 0) -> Seal:
    """Return a seal from its items; raise a DamagedError if not of ``data`` at the place ``of``."""
    digest = words.get("sha256") if isinstance(words, dict) else None
    if not isinstance(digest, str) or len(digest) != len(_EMPTY) or digest == _EMPTY:
        raise DamagedError("its seal is damaged")
    schema = words.pop("schema", 2)
    unsealed = data[:start] + data[start:].replace(digest.encode(), _EMPTY.encode(), 1)
    if hashlib.sha256(unsealed).hexdigest() != digest:
        raise DamagedError("its content is not what was written")
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerError(
            f"was made by a newer samplerbench (schema {schema}; this one reads up to {SCHEMA}); "
            "upgrade samplerbench, or use another folder"
        )
    if (
        schema != SCHEMA
        or set(words) != {"of", "made_by", "sha256"}
        or not all(isinstance(value, str) for value in words.values())
    ):
        raise DamagedError("its seal is damaged")
    seal = Seal(**words)
    if seal.of != of:
        raise DamagedError(f"it belongs to {seal.of}")
    return seal


@dataclass(frozen=True)
class StoredArray:
    """Reader of an array in a file whose seal was checked before.

    A read skips the checksum, which would need the whole file. The read fails if the file's size or
    time of change is not the ``stamp`` that :meth:`from_file` took.
    """

    path: Path
    name: str
    stamp: tuple[int, int]

    @classmethod
    def from_file(cls, path: Path, name: str) -> StoredArray:
        """Return a reader of array ``name``. Raises a DamagedError if it cannot be read."""
        try:
            array = cls(path, name, _size_and_time(path))
            with np.load(path) as archive:
                if name not in archive:
                    raise KeyError(name)
        except UNREADABLE as error:
            raise DamagedError(f"its {name} cannot be read") from error
        return array

    def read(self) -> NDArray[Any]:
        """Return the array. Raises a DamagedError if the file was changed or removed."""
        try:
            if _size_and_time(self.path) != self.stamp:
                raise DamagedError("it was changed while it was in use")
            with np.load(self.path) as archive:
                return archive[self.name]
        except UNREADABLE as error:
            raise DamagedError(f"its {self.name} cannot be read") from error


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
