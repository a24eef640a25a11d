"""Common part of extractors that are networks of 8-bit RGB images, and ways of resizing."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoints.opening import error_in_words
from ..reference import FloatArray
from . import Samples

CHUNK = 32
"""Images in each call of a network, which may resize them to 224 x 224 pixels or more."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in [0, 1], as in torchvision."""


class RgbNetwork:
    """Extractor of a network of 8-bit RGB images.

    Values of the data's range are scaled to 0 … 255 and *rounded*, since truncation would darken
    all images by half a grey level. Grey images fill all three channels.

    Args:
        limits: range of the data (:func:`checked_pixel_limits`).
        network: the module, which is moved to the device of the images.
        features: function of ``(network, images)``, from ``(n, 3, h, w)`` uint8 to ``(n, dim)``.
        dim: number of features.
        made_of: name of the network, hash of its weights, and preprocessing. The range of the data
            is left out, since 8-bit images do not depend on it.
        space: common name of these features, such as ``inception-v3-2048``; "" for none.
    """

    def __init__(
        self,
        limits: tuple[float, float],
        network: Any,
        features: Callable[[Any, Tensor], Tensor],
        dim: int,
        made_of: str,
        space: str = "",
    ) -> None:
        self._low, self._high = limits
        self._net, self._features, self.dim = network, features, dim
        self._rounds = True
        self.made_of, self.space = f"{made_of}-uint8-rounded", space
        self.identity = f"{self.made_of}-range[{self._low:g},{self._high:g}]"

    def unrounded(self) -> RgbNetwork:
        """Return a copy that passes grey levels on as float32, not rounded.

        Its features then follow changes of less than a grey level. If the network takes nothing but
        8-bit images, a call of the copy fails.
        """
        twin = copy.copy(self)
        twin._rounds, twin.space = False, ""
        twin.made_of = self.made_of.replace("-uint8-rounded", "-unrounded")
        twin.identity = self.identity.replace(self.made_of, twin.made_of)
        return twin

    @torch.no_grad()
    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` float64 of images in the data's range, clamped to it."""
        if not len(x):
            return np.empty((0, self.dim))
        self._net = self._net.to(x.device)
        parts = [self._features(self._net, self._rgb_images(part)).cpu() for part in x.split(CHUNK)]
        return torch.cat(parts).double().numpy()

    def _rgb_images(self, x: Tensor) -> Tensor:
        grey = ((x.double() - self._low) / (self._high - self._low) * 255).clamp(0, 255)
        levels = grey.round().to(torch.uint8) if self._rounds else grey.float()
        return levels.expand(-1, 3, -1, -1)


def checked_pixel_limits(name: str, samples: Samples) -> tuple[float, float]:
    """Return the range of grey or RGB pixels; raise a ValueError for other samples or no range."""
    event = samples.event
    if len(event) != 3 or event[0] not in (1, 3):
        raise ValueError(
            f"{name} takes grey or RGB images, not samples {event}; use --extractor pixels"
        )
    return known_limits(name, samples, ", or use --extractor pixels")


def known_limits(name: str, samples: Samples, alternative: str = "") -> tuple[float, float]:
    """Return the data's range; if unknown, raise a ValueError that ends in ``alternative``."""
    if samples.limits is None:
        raise ValueError(
            f"{name} needs the range of the images' values, which the model does not state; give a "
            f"model of your own an attribute limits, such as limits = (-1.0, 1.0){alternative}"
        )
    return samples.limits


def normalise_channels(
    images: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """Return ``images`` (n, 3, h, w) minus ``mean``, over ``std``, by channel, in float32."""
    means, stds = (images.new_tensor(values, dtype=torch.float32) for values in (mean, std))
    return (images.float() - means.view(3, 1, 1)) / stds.view(3, 1, 1)


def resize_bicubic(images: Tensor, side: int) -> Tensor:
    """Return ``images`` (n, 3, h, w) resized to ``side`` x ``side``, antialiased, in float32."""
    return F.interpolate(
        images.float(), (side, side), mode="bicubic", align_corners=False, antialias=True
    )


def import_optional(module: str, needs: str, package: str) -> Any:
    """Return the module called ``module``; raise a ValueError with the command to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{needs}; pip install {package}") from error


@contextmanager
def explain_errors(problem: str, remedy: str = "") -> Iterator[None]:
    """Turn every error in this context into a ValueError "``problem`` (error)``remedy``"."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{problem} ({error_in_words(error)}){remedy}") from error


Resize = Callable[[Tensor, int], Tensor]
"""Function from images ``(n, 3, h, w)`` uint8 and a side to ``(n, 3, side, side)`` float32 in 0 … 255."""


def resize_bicubic_as_pillow(images: Tensor, side: int) -> Tensor:
    """Resize ``images`` as Pillow does: bicubic, rounded to grey levels (see :data:`Resize`)."""
    pillow = import_optional("PIL.Image", "this resizing needs Pillow", "pillow")
    resized = [
        np.asarray(pillow.fromarray(image).resize((side, side), pillow.Resampling.BICUBIC))
        for image in images.permute(0, 2, 3, 1).cpu().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float().to(images.device)


def resize_bilinear_as_tensorflow(images: Tensor, side: int) -> Tensor:
    """Resize ``images`` as TensorFlow 1 does: bilinear, not antialiased (see :data:`Resize`).

    Output pixel k is read at k · (size / side) of an axis of ``size`` pixels.
    """
    images = images.float()
    for axis in (2, 3):
        size = images.shape[axis]
        at = torch.arange(side, device=images.device, dtype=torch.float32) * (size / side)
        low = at.floor().long().clamp(max=size - 1)
        high = (low + 1).clamp(max=size - 1)
        share = (at - low).view(-1, *[1] * (3 - axis))
        images = (
            images.index_select(axis, low) * (1 - share) + images.index_select(axis, high) * share
        )
    return images


RESIZINGS: dict[str, Resize] = {
    "dgm-eval": resize_bicubic_as_pillow,
    "edm2": resize_bicubic,
    "torch-fidelity": resize_bilinear_as_tensorflow,
}
"""Resizing function by the evaluator of DINOv2 features."""
