"""Files of weights next to an ONNX file, found without a library for its format.

ONNX is a protocol buffer: fields of (number, type, content), some of which are messages again. Only
those on the way to a tensor's ``external_data`` are followed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_INNER = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Numbers of the fields that are messages, by the kind of message (onnx.proto3)."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY, _VALUE = 1, 2

Field = tuple[int, memoryview]


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the files that an ONNX file stores weights in, sorted; most have none.

    Raises:
        ValueError: it is no ONNX file, or one of them is outside its folder or missing.
    """
    with path.open(
        "rb"
    ) as file:  # mapped, since it can be large, and unmapped with the last view of it
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        names = set(_locations("model", content))
    except (IndexError, UnicodeDecodeError):
        raise ValueError("it is cut short or no ONNX file") from None
    files = []
    for name in sorted(names):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"it keeps weights outside its folder ({name})")
        if not (path.parent / name).is_file():
            raise ValueError(f"it keeps its weights in {name}, which is not beside it")
        files.append(path.parent / name)
    return tuple(files)


def _locations(kind: str, message: memoryview) -> Iterator[str]:
    if kind == "entry":
        entry = {number: bytes(content) for number, content in _fields(message)}
        if entry.get(_KEY) == b"location":
            yield entry[_VALUE].decode()
        return
    for number, content in _fields(message):
        if inner := _INNER[kind].get(number):
            yield from _locations(inner, content)


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields that have a length; no others matter here."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            size, place = _varint(message, place)
            if place + size > len(message):
                raise IndexError
            yield number, message[place : place + size]
            place += size
        elif wire == _VARINT:
            _, place = _varint(message, place)
        elif wire in (_FIXED64, _FIXED32):
            place += 8 if wire == _FIXED64 else 4
        else:
            raise IndexError


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise IndexError
