"""PNG files from numpy arrays (ISO/IEC 15948): 8 bit grey, grey with alpha, RGB or RGBA."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of ``pixels`` ``(height, width, channels)`` uint8, with 1, 2, 3 or 4 channels."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    unfiltered = np.zeros((height, 1 + width * channels), np.uint8)  # each line begins with its filter: 0, none
    unfiltered[:, 1:] = pixels.reshape(height, -1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """The PNG of ``pixels`` as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
