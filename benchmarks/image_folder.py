"""Folders of images as real samples: PNG, JPEG and their like, in the shape and the range of a model's samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read_folder(folder: Path, event: tuple[int, ...], limits: tuple[float, float] | None) -> Tensor:
    """The images of a folder and of the folders in it, sorted by path, ``(n, *event)`` float32 from ``limits[0]`` for black on.

    Args:
        folder: with files whose names end in one of :data:`SUFFIXES`; others are left alone.
        event: (1, h, w) for grey images, or (3, h, w) for RGB; colours become what the model has.
        limits: range of the model's data.

    Raises:
        ValueError: the model's samples are no images of a known range, Pillow is missing, or an image cannot be read or has another size.
    """
    if len(event) != 3 or event[0] not in (1, 3):
        raise ValueError(
            f"--real {folder} is a folder of images, but the model's samples {event} are no grey or RGB images; give a .npy file"
        )
    if limits is None:
        raise ValueError(
            f"--real {folder} is a folder of images, and the model does not say which range its values have; give it an attribute limits, "
            "such as limits = (-1.0, 1.0), or give a .npy file"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"--real {folder}: there are no images in this folder; it takes {', '.join(SUFFIXES)}")
    pixels = np.stack([_read(path, event) for path in paths])
    low, high = limits
    return torch.from_numpy(pixels.astype(np.float32) / 255 * (high - low) + low)


def _read(path: Path, event: tuple[int, ...]) -> np.ndarray:
    """An image as ``event`` of 8-bit numbers.

    Raises:
        ValueError: it is none, or has another size.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError("--real with a folder of images needs Pillow; pip install pillow, or give a .npy file") from error
    channels, height, width = event
    try:
        with Image.open(path) as image:
            size = image.size
            converted = np.asarray(image.convert("L" if channels == 1 else "RGB")) if size == (width, height) else None
    except Exception as error:  # a file of anything can raise anything
        raise ValueError(f"--real: {path} cannot be read as an image ({type(error).__name__}: {error})") from error
    if converted is None:
        raise ValueError(f"--real: {path} has {size[0]} x {size[1]} pixels, but the model's images have {width} x {height}; resize it")
    return converted.reshape(height, width, channels).transpose(2, 0, 1)
