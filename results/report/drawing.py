"""Small PNG pictures (ISO/IEC 15948) of samples: mosaics of images, plots of points."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}

FloatArray = NDArray[np.float64]
Box = tuple[FloatArray, FloatArray]
"""Window of a plot: lower and upper corner, each ``(2,)``."""

MARGIN = 0.08
"""Margin at each side of a window, as a share of the points' extent."""
INK = (46, 125, 190)
"""Colour of points, legible on a light and on a dark page."""


def draw_mosaic(images: NDArray[np.uint8], *, most: int = 9) -> NDArray[np.uint8]:
    """Return up to ``most`` images ``(k, C, H, W)`` as one, ``(height, width, 2 or 4)`` uint8."""
    lines, across = rectangle_for(min(most, len(images)))
    return side_by_side(with_alpha(images[: lines * across]), across)


def rectangle_for(count: int) -> tuple[int, int]:
    """Return lines and columns of the largest full rectangle of at most ``count`` tiles.

    It is at most twice as wide as high, or 1 by 3.

    >>> [rectangle_for(count) for count in (1, 3, 4, 7, 8, 9)]
    [(1, 1), (1, 3), (2, 2), (2, 3), (2, 4), (3, 3)]
    """
    shapes = (
        (lines, min(count // lines, max(3, 2 * lines))) for lines in range(1, math.isqrt(count) + 1)
    )
    return max(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))


def with_alpha(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images ``(k, C, H, W)`` as opaque ``(k, H, W, 4)`` RGBA, or ``(k, H, W, 2)`` in grey."""
    colours = (images if images.shape[1] == 3 else images[:, :1]).transpose(0, 2, 3, 1)
    return np.concatenate([colours, np.full_like(colours[..., :1], 255)], -1)


def side_by_side(pictures: NDArray[np.uint8], across: int, gap: int = 1) -> NDArray[np.uint8]:
    """Return ``(k, H, W, channels)`` pictures as one, ``across`` a line, ``gap`` pixels apart."""
    count, height, width, channels = pictures.shape
    down = math.ceil(count / across)
    mosaic_of_all = np.zeros(
        (down * (height + gap) - gap, across * (width + gap) - gap, channels), np.uint8
    )
    for index, picture in enumerate(pictures):
        top, left = index // across * (height + gap), index % across * (width + gap)
        mosaic_of_all[top : top + height, left : left + width] = picture
    return mosaic_of_all


def common_box(clouds: Iterable[NDArray[Any]]) -> Box:
    """Return a square window for clouds ``(k, 2)``, by their median 0.5 and 99.5 % quantiles."""
    corners = []
    for cloud in clouds:
        finite = cloud[np.isfinite(cloud).all(1)].astype(np.float64)
        if len(finite):
            corners.append(np.quantile(finite, (0.005, 0.995), axis=0))
    low, high = np.median(corners, axis=0) if corners else (np.full(2, -1.0), np.full(2, 1.0))
    centre, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-6) * (1 + 2 * MARGIN)
    return centre - half, centre + half


def draw_points(
    points: NDArray[Any], box: Box, *, size: int = 144, radius: float = 1.4
) -> NDArray[np.uint8]:
    """Draw points ``(k, 2)`` in ``box`` as translucent dots, in a picture ``(size, size, 4)`` uint8."""
    low, high = box
    with np.errstate(invalid="ignore"):
        places = (points.astype(np.float64) - low) / (high - low) * size
        places = places[((places >= 0) & (places < size)).all(1)]
    opacity, extent = 0.55, math.ceil(radius)
    steps = np.arange(-extent, extent + 1)
    pixels = np.floor(places)[:, None, :] + np.stack(np.meshgrid(steps, steps), -1).reshape(
        1, -1, 2
    )
    cover = np.clip(radius + 0.5 - np.linalg.norm(pixels + 0.5 - places[:, None, :], axis=-1), 0, 1)
    inside = ((pixels >= 0) & (pixels < size)).all(-1)
    column, row = pixels[inside].astype(int).T
    # transparencies of overlapping dots multiply, so their logarithms add up
    light = np.exp(
        np.bincount(row * size + column, np.log1p(-opacity * cover[inside]), minlength=size * size)
    ).reshape(size, size)
    picture = np.empty((size, size, 4), np.uint8)
    picture[..., :3] = INK
    # sixteen steps of opacity halve the file without a visible change
    picture[..., 3] = np.round(15 * (1 - light[::-1])) * 17
    return picture


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of ``pixels`` ``(height, width, channels)`` uint8, with 1 to 4 channels."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    # each line begins with its filter type: 0 for none
    unfiltered = np.zeros((height, 1 + width * channels), np.uint8)
    unfiltered[:, 1:] = pixels.reshape(height, -1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return the PNG of ``pixels`` as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels)).decode()


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
