"""Array of an archive, read repeatedly without the rest of the archive."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import UNREADABLE, arrays_in
from .sealed import Damaged

_NAME_LENGTHS = slice(26, 30)
"""Lengths of a member's name and of its extra field, within the member's header (.ZIP File Format
Specification 6.3, section 4.3.7).
"""
_HEADER = 30


@dataclass(frozen=True)
class StoredArray:
    """Place of an array in a file whose seal was checked.

    It is read without a digest, which would take the whole file: a file that was changed since is
    refused.

    Attributes:
        path: of the file.
        name: of the array.
        offset: of its values in the file, in bytes; -1 where they are packed, or not in C order.
        dtype, shape: of the array.
        stamp: size of the file, and the moment of its last change.
    """

    path: Path
    name: str
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    stamp: tuple[int, int]

    @classmethod
    def of(cls, path: Path, name: str) -> StoredArray:
        """An array of an ``.npz`` file.

        Raises:
            Damaged: it is not there.
        """
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                stamp = _stamp(path)
                member = archive.getinfo(f"{name}.npy")
                file.seek(member.header_offset)
                lengths = np.frombuffer(file.read(_HEADER)[_NAME_LENGTHS], "<u2")
                file.seek(int(lengths.sum()), 1)
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, fortran, dtype = read(file)
                plain = member.compress_type == zipfile.ZIP_STORED and not fortran
                offset = file.tell() if plain and not dtype.hasobject else -1
        except UNREADABLE as error:
            raise Damaged(f"its {name} cannot be read") from error
        return cls(path, name, offset, dtype, shape, stamp)

    def read(self) -> NDArray[Any]:
        """The array.

        Raises:
            Damaged: the file was changed, or is gone.
        """
        try:
            if _stamp(self.path) != self.stamp:
                raise Damaged("it was changed while it was in use")
            if self.offset < 0:
                with self.path.open("rb") as file:
                    return arrays_in(file)[self.name]
            count = int(np.prod(self.shape))
            return np.fromfile(self.path, self.dtype, count, offset=self.offset).reshape(self.shape)
        except UNREADABLE as error:
            raise Damaged(f"its {self.name} cannot be read") from error


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
