"""Safe reading of array files: no pickles, and no more memory than a file of real samples takes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

MOST_TIMES, SMALL = 100, 64 << 20
"""Largest ratio of an archive's unpacked size to its own, and unpacked bytes that are always
allowed.

Photographs are packed to a half, drawings to a twentieth.
"""


def open_arrays(path: Path) -> Any:
    """Return the result of ``numpy.load``.

    Raises:
        ValueError: the file holds Python objects, or is far larger unpacked.
        Exception: raised for a damaged file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(SMALL, MOST_TIMES * path.stat().st_size):
            raise ValueError(
                f"it is {unpacked / 2**30:.2g} GiB unpacked, {unpacked / path.stat().st_size:,.0f} "
                "times its size; save the samples with numpy.savez, which packs nothing"
            )
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError(PICKLED) from None
        raise


PICKLED = "it holds Python objects, which are not read; save numbers"


def reason(error: Exception) -> str:
    """Return the reason why a file cannot be read, in words that offer nothing unsafe."""
    if "allow_pickle" in str(error):
        return PICKLED
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
