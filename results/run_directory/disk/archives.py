"""Named arrays as the bytes of an ``.npz`` archive, uncompressed, and back: what ``numpy.savez`` writes
and ``numpy.load`` reads, at a third of the time where arrays are small.

Nearly all that numpy takes for a small array is the text of its header, which it parses as Python
each time. Shards of a run are all alike, so here each header is parsed once.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_SUFFIX = ".npy"
_LENGTH = slice(len(npy.MAGIC_PREFIX) + 2, len(npy.MAGIC_PREFIX) + 4)
_FIRST = npy.MAGIC_PREFIX + b"\1\0"  # the version that numpy writes unless it cannot


def write_arrays(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers or text to an archive.

    Raises:
        TypeError: an array holds Python objects.
    """
    converted = {name: np.asanyarray(array) for name, array in arrays.items()}
    pickled = [name for name, array in converted.items() if array.dtype.hasobject]
    if pickled:
        raise TypeError(
            f"array {pickled[0]!r} holds Python objects, which only a pickle could store"
        )
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in converted.items():
            turned = array.flags.f_contiguous and not array.flags.c_contiguous
            with archive.open(zipfile.ZipInfo(name + _SUFFIX), "w", force_zip64=True) as member:
                if array.dtype.names is not None:  # fields have names in any script
                    npy.write_array(member, array, allow_pickle=False)
                    continue
                member.write(_header(array.dtype, turned, array.shape))
                member.write(array.tobytes("F" if turned else "C"))


def arrays_in(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """The arrays of an open archive as :func:`write_arrays` stores them, all read and checksummed.

    One of :data:`..files.UNREADABLE` is raised if it is none, holds a pickle, or would be larger in
    memory than it is.
    """
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > size:
            raise ValueError("its arrays are larger than it is")
        arrays = {
            name.removesuffix(_SUFFIX): _array(archive.read(name)) for name in archive.namelist()
        }
    if any(array.size > size for array in arrays.values()):  # of texts without letters
        raise ValueError("its arrays are larger than it is")
    return arrays


def _array(data: bytes) -> NDArray[Any]:
    if not data.startswith(_FIRST):
        return npy.read_array(io.BytesIO(data), allow_pickle=False)
    start = _LENGTH.stop + int.from_bytes(data[_LENGTH], "little")
    shape, turned, dtype = _layout(data[:start])
    count = math.prod(shape)
    if dtype.hasobject or not dtype.itemsize or not count:
        return npy.read_array(io.BytesIO(data), allow_pickle=False)
    flat = np.frombuffer(data, dtype, count, start).copy()
    return flat.reshape(shape[::-1]).T if turned else flat.reshape(shape)


@lru_cache(maxsize=1024)
def _header(dtype: np.dtype[Any], turned: bool, shape: tuple[int, ...]) -> bytes:
    """Return the bytes before the numbers of an array."""
    head = io.BytesIO()
    about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": turned, "shape": shape}
    npy.write_array_header_1_0(head, about)
    return head.getvalue()


@lru_cache(maxsize=1024)
def _layout(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, whether the first axis is the fastest, and the dtype."""
    file = io.BytesIO(head)
    npy.read_magic(file)
    return npy.read_array_header_1_0(file)
