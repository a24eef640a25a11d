"""Sealed files: each holds the name of its place, the digest of its maker, and a checksum of all
its bytes.

A part of a run is used only where all three hold. A flipped bit, a file of another cell, an edited
one, and one that other code made are found when the file is read.

A JSON file is an object whose first item is the seal. An ``.npz`` file is a zip archive with the
seal as its comment. In both, ``sha256`` is the digest of the whole file with 64 zeros in its place,
and ``schema`` is the number of the form that everything else has (:data:`SCHEMA`). So a file of a
later version is recognised by that number alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
"""Form of a run directory's files. 1: without seals, before release 0.1.0, readable but unproven
(:attr:`.RunReader.predates_checksums`). 2: sealed; seals of 0.1.0 lack the number. It is raised when an older
reader would misread a file. Older files are read as they were written, and are not made again
because of their number.
"""

KEY = "seal"
_EMPTY = "0" * 64
_MARK = b"samplerbench seal "
_ARCHIVE = b"PK"  # how a zip archive begins
_LARGEST_COMMENT = 65535  # of a zip archive


class DamagedError(Exception):
    """A file that is not what its name says; the text says why in a clause."""


class NewerError(ValueError):
    """A file of a newer samplerbench: no damage, so that nothing of its run may be set aside."""


class UnsealedError(DamagedError):
    """A file without a seal, of a run older than seals."""

    def __init__(self) -> None:
        super().__init__("it has no seal")


@dataclass(frozen=True)
class Seal:
    """Seal of a file: its place, its maker and its checksum.

    Attributes:
        of: its place in the run directory, such as ``parts/CELL/quality.json``.
        made_by: digest of what the sampler, the model and the extractor do (:mod:`.fingerprint`);
            "" where that does not matter.
        sha256: digest of the file, 64 hexadecimal digits.
    """

    of: str
    made_by: str = ""
    sha256: str = _EMPTY

    def as_dict(self) -> dict[str, str | int]:
        """Return the seal as a dictionary, as files hold it."""
        return {
            "of": self.of,
            "made_by": self.made_by,
            "schema": SCHEMA,
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class OpenedFile:
    """A file as it was read.

    Attributes:
        digest: of its bytes, as in its seal if it is sound; "" if there is no file.
        seal: None where it has none, or is not sound.
        value: the object or the arrays in it; None where there are none, or none were asked for.
        fault: why it is not what its name says; None if it is.
    """

    digest: str = ""
    seal: Seal | None = None
    value: dict[str, Any] | None = None
    fault: DamagedError | FileNotFoundError | None = None

    def check(self, made_by: str | None = None, sha256: str | None = None) -> None:
        """Raise an exception if the file does not have the maker and the digest (None: any).

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it is not what its name says; :class:`UnsealedError` if it has no seal.
        """
        if self.fault is not None:
            raise self.fault.with_traceback(None)
        assert self.seal is not None
        if made_by is not None and self.seal.made_by != made_by:
            raise DamagedError("other code made it than its cell says")
        if sha256 is not None and self.seal.sha256 != sha256:
            raise DamagedError("it is not the one that was written with quality.json")


class SealedFile(NamedTuple):
    """A file to be written: its bytes, and the seal in them."""

    data: bytes
    seal: Seal


def sealed_json(
    value: Mapping[str, Any], of: str, made_by: str = "", *, spread: bool = False
) -> SealedFile:
    """Return an object with its seal as bytes to be written; the seal names the place ``of``.

    The value is JSON-ready, numpy scalars and arrays included; what is not finite becomes null. See
    :func:`.files.json_text` for ``spread``.
    """
    data = json_text({KEY: Seal(of, made_by).as_dict(), **value}, spread=spread).encode()
    digest = hashlib.sha256(data).hexdigest()
    return SealedFile(data.replace(_EMPTY.encode(), digest.encode(), 1), Seal(of, made_by, digest))


def write_json(path: Path, value: Mapping[str, Any], of: str, made_by: str = "") -> str:
    """Write an object with its seal, atomically, and return the digest; see :func:`sealed_json`."""
    data, seal = sealed_json(value, of, made_by)
    write_bytes(path, data)
    return seal.sha256


def open_json(path: Path, of: str) -> OpenedFile:
    """Open the file that :func:`write_json` wrote; its value is the object without the seal."""
    return _open_sealed(path, lambda data: _parse_json(data, of), LARGEST_JSON)


def read_json(path: Path, of: str, made_by: str | None = None) -> dict[str, Any]:
    """Return the object that :func:`write_json` wrote; exceptions as :meth:`OpenedFile.check`."""
    opened = open_json(path, of)
    opened.check(made_by)
    assert opened.value is not None
    return opened.value


def sealed_npz(arrays: Mapping[str, NDArray[Any]], of: str, made_by: str = "") -> SealedFile:
    """Return named arrays with their seal as bytes to be written, uncompressed.

    Raises:
        TypeError: an array holds Python objects.
    """
    buffer = io.BytesIO()
    write_arrays(buffer, arrays)
    comment = _MARK + json.dumps(Seal(of, made_by).as_dict()).encode()
    # an archive ends with its comment's length, here 0
    data = buffer.getvalue()[:-2] + len(comment).to_bytes(2, "little") + comment
    digest = hashlib.sha256(data).hexdigest()
    start = len(data) - len(comment)
    comment = comment.replace(_EMPTY.encode(), digest.encode(), 1)
    return SealedFile(data[:start] + comment, Seal(of, made_by, digest))


def open_npz(path: Path, of: str, *, arrays: bool = True) -> OpenedFile:
    """Open the file that :func:`sealed_npz` made; its value are the arrays. Pickles are refused.

    Without ``arrays`` none are read: a digest that holds says that they are those that were written.
    """
    return _open_sealed(path, lambda data: _parse_npz(data, of, arrays=arrays))


def opened_as_written(file: SealedFile) -> OpenedFile:
    """Return a file that was just written as :func:`open_npz` without arrays would return it."""
    if file.data.startswith(_ARCHIVE):
        return OpenedFile(file.seal.sha256, file.seal)
    value: dict[str, Any] = json.loads(file.data)
    value.pop(KEY)
    return OpenedFile(file.seal.sha256, file.seal, value)


def _open_sealed(
    path: Path, parse: Callable[[bytes], OpenedFile], most: int | None = None
) -> OpenedFile:
    try:
        data = read_regular(path, most)
    except (FileNotFoundError, NotADirectoryError):
        return OpenedFile(fault=FileNotFoundError(path))
    except OSError as error:
        return OpenedFile("unreadable", fault=DamagedError(f"it cannot be read: {error.strerror}"))
    except MemoryError:
        return OpenedFile(
            "unreadable", fault=DamagedError("it is larger than the memory that is left")
        )
    try:
        opened = parse(data)
    except DamagedError as fault:
        opened = OpenedFile(fault=fault)
    except NewerError as newer:
        raise NewerError(f"{path} {newer}") from None
    digest = opened.seal.sha256 if opened.seal else hashlib.sha256(data).hexdigest()
    return replace(opened, digest=digest)


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


def _verified_seal(data: bytes, words: object, of: str, start: int = 0) -> Seal:
    """Return the valid seal with ``words`` at or after ``start`` for the place ``of``."""
    if not isinstance(words, dict):
        raise DamagedError("its seal is damaged")
    schema, digest = words.pop("schema", 2), words.get("sha256")
    if not isinstance(digest, str) or len(digest) != len(_EMPTY) or digest == _EMPTY:
        raise DamagedError("its seal is damaged")
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
    """An array in a file whose seal was checked, read repeatedly without the rest of the file.

    It is read without a digest, which would take the whole file: a file that was changed since, by
    its size and the moment in ``stamp``, is refused.
    """

    path: Path
    name: str
    stamp: tuple[int, int]

    @classmethod
    def of(cls, path: Path, name: str) -> StoredArray:
        """Return an array of an ``.npz`` file; raise :class:`DamagedError` if it does not exist."""
        try:
            array = cls(path, name, _size_and_time(path))
            with np.load(path) as archive:
                if name not in archive:
                    raise KeyError(name)
        except UNREADABLE as error:
            raise DamagedError(f"its {name} cannot be read") from error
        return array

    def read(self) -> NDArray[Any]:
        """Return the array; raise :class:`DamagedError` if the file was changed or removed."""
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
