"""Resizing of images as published evaluators do it: with the same weights, the features differ.

Names are the evaluators' own, as in published numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .rgb import bicubic

Resize = Callable[[Tensor, int], Tensor]
"""Function from images ``(n, 3, h, w)`` uint8 and a side to ``(n, 3, side, side)`` float32 in 0 … 255."""


def pillow_bicubic(images: Tensor, side: int) -> Tensor:
    """Resize by Pillow's bicubic interpolation, each image to 8 bits again, on the CPU.

    Raises:
        ValueError: Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError("this resizing needs Pillow; pip install pillow") from error
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    resized = [
        np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        for image in pixels
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float().to(images.device)


def tensorflow_bilinear(images: Tensor, side: int) -> Tensor:
    """Resize by TensorFlow 1's bilinear interpolation: pixel k is at k · (size / side), without antialiasing."""
    for axis in (2, 3):
        images = _interpolate_axis(images.float(), axis, side)
    return images


def _interpolate_axis(images: Tensor, axis: int, side: int) -> Tensor:
    size = images.shape[axis]
    at = torch.arange(side, device=images.device, dtype=torch.float32) * (size / side)
    low = at.floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    shape = [1] * images.ndim
    shape[axis] = side
    share = (at - low).view(shape)
    return images.index_select(axis, low) * (1 - share) + images.index_select(axis, high) * share


RESIZINGS: dict[str, Resize] = {
    "dgm-eval": pillow_bicubic,
    "edm2": bicubic,
    "torch-fidelity": tensorflow_bilinear,
}
"""Resizings by the evaluator of DINOv2 features."""
