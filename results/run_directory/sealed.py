"""Files that know what they are: each holds the name of its place, who made it, and a digest of all
its bytes.

A part of a run is believed only where all three hold. A bit that flipped, a file of another cell,
one that was edited, and one that other code made are found when the file is read, whatever a parser
would have made of them.

A JSON file is an object whose first item is the seal. An ``.npz`` file is a zip archive with the
seal as its comment. In both, ``sha256`` is the digest of the whole file with 64 zeros in its place.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import UNREADABLE, arrays_in, jsonable, write_bytes

Arrays = dict[str, NDArray[Any]]

KEY = "seal"
_EMPTY = "0" * 64
_MARK = b"samplerbench seal "
_LARGEST_COMMENT = 65535  # of a zip archive


class Damaged(Exception):  # noqa: N818 - it says what a file is
    """A file that is not what its name says; the text says why in a clause."""


class Unsealed(Damaged):
    """A file without a seal, as runs made before there were any have them."""

    def __init__(self) -> None:
        super().__init__("it has no seal")


@dataclass(frozen=True)
class Seal:
    """What a file says of itself.

    Attributes:
        of: its place in the run directory, such as ``parts/CELL/quality.json``.
        made_by: digest of what the sampler, the model and the extractor do (:mod:`.fingerprint`);
            "" where that does not matter.
        sha256: digest of the file, 64 hexadecimal digits.
    """

    of: str
    made_by: str = ""
    sha256: str = _EMPTY

    def as_dict(self) -> dict[str, str]:
        """As it is written."""
        return {"of": self.of, "made_by": self.made_by, "sha256": self.sha256}


def write_json(path: Path, value: Mapping[str, Any], of: str, made_by: str = "") -> str:
    """Write an object with its seal, atomically.

    Args:
        path: where.
        value: JSON-ready, numpy scalars and arrays included; what is not finite becomes null.
        of: the place that the seal names.
        made_by: see :class:`Seal`.

    Returns:
        The digest.
    """
    content = {KEY: Seal(of, made_by).as_dict(), **value}
    data = (
        json.dumps(jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()
    digest = hashlib.sha256(data).hexdigest()
    write_bytes(path, data.replace(_EMPTY.encode(), digest.encode(), 1))
    return digest


def read_json(path: Path, of: str, made_by: str | None = None) -> dict[str, Any]:
    """The object that :func:`write_json` wrote, without its seal.

    Args:
        path: where.
        of: the place that the seal must name.
        made_by: what the seal must say; None to take anything.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: it is not that object.
        Unsealed: (a :class:`Damaged`) it is an object without a seal.
    """
    data = _bytes(path)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged("it is no JSON") from error
    if not isinstance(value, dict):
        raise Damaged("it is no JSON object")
    if KEY not in value:
        raise Unsealed
    _check(data, _seal(value.pop(KEY)), of, made_by)
    return value


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], of: str, made_by: str = "") -> str:
    """Write named arrays of numbers or text with their seal, uncompressed, atomically.

    Arguments and result as :func:`write_json`.

    Raises:
        TypeError: an array holds Python objects.
    """
    pickled = [name for name, array in arrays.items() if np.asanyarray(array).dtype.hasobject]
    if pickled:
        raise TypeError(
            f"array {pickled[0]!r} holds Python objects, which only a pickle could store"
        )
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # pyright: ignore[reportArgumentType]
    comment = _MARK + json.dumps(Seal(of, made_by).as_dict()).encode()
    # an archive ends with its comment's length, here 0
    data = buffer.getvalue()[:-2] + len(comment).to_bytes(2, "little") + comment
    digest = hashlib.sha256(data).hexdigest()
    start = len(data) - len(comment)
    write_bytes(path, data[:start] + comment.replace(_EMPTY.encode(), digest.encode(), 1))
    return digest


def read_npz(path: Path, of: str, made_by: str | None = None, sha256: str | None = None) -> Arrays:
    """The arrays that :func:`write_npz` wrote; arguments and exceptions as :func:`read_json`.

    Pickles are refused.

    ``sha256`` is the digest that the file must have, where another file says so.
    """
    try:
        return arrays_in(io.BytesIO(check_npz(path, of, made_by, sha256)))
    except UNREADABLE as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise Damaged("its arrays cannot be read") from error


def check_npz(path: Path, of: str, made_by: str | None = None, sha256: str | None = None) -> bytes:
    """The bytes of the file that :func:`read_npz` reads, which are those that were written.

    Arguments and exceptions as there.
    """
    data = _bytes(path)
    start = data.rfind(_MARK, -_LARGEST_COMMENT)
    if start < 0 and not zipfile.is_zipfile(io.BytesIO(data)):
        raise Damaged("it is no archive of arrays")
    if start < 0:
        raise Unsealed
    try:
        seal = json.loads(data[start + len(_MARK) :])
    except (ValueError, RecursionError) as error:
        raise Damaged("its seal is damaged") from error
    _check(data, _seal(seal), of, made_by, start)
    if sha256 is not None and seal["sha256"] != sha256:
        raise Damaged("it is not the one that was written with quality.json")
    return data


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except NotADirectoryError as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise Damaged(f"it cannot be read: {error.strerror}") from error


def _seal(value: object) -> Seal:
    if (
        not isinstance(value, dict)
        or set(value) != {"of", "made_by", "sha256"}
        or not all(isinstance(v, str) for v in value.values())
    ):
        raise Damaged("its seal is damaged")
    return Seal(**value)


def _check(data: bytes, seal: Seal, of: str, made_by: str | None, start: int = 0) -> None:
    if len(seal.sha256) != len(_EMPTY) or seal.sha256 == _EMPTY:
        raise Damaged("its seal is damaged")
    unsealed = data[:start] + data[start:].replace(seal.sha256.encode(), _EMPTY.encode(), 1)
    if hashlib.sha256(unsealed).hexdigest() != seal.sha256:
        raise Damaged("its content is not what was written")
    if seal.of != of:
        raise Damaged(f"it belongs to {seal.of}")
    if made_by is not None and seal.made_by != made_by:
        raise Damaged("other code made it than its cell says")
