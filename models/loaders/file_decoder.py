"""Decoder from the ``decode`` of a user's Python file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .networks import moved

AT_ONCE = 64
"""Latents at a time."""


class FileDecoder:
    """Decoder (:class:`~samplerbench.models.denoiser.Decoder`) from a user's ``decode``.

    Args:
        decode: the function.
        event: shape of an image.
        limits: range of the values of images.
        device: of its networks.
    """

    identity = ""  # the model's has the hash of its file
    batch = AT_ONCE

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        event: tuple[int, ...],
        limits: tuple[float, float] | None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._decode, self.event, self.limits, self.device = decode, event, limits, device

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the user's images, in the dtype of the latents."""
        images = self._decode(latents)
        return images.to(latents.dtype) if isinstance(images, Tensor) else images

    def to(self, device: torch.device | str) -> FileDecoder:
        """Return a copy with its networks on ``device``."""
        return FileDecoder(moved(self._decode, device), self.event, self.limits, device)


def file_decoder(
    name: str, model: Any, event: tuple[int, ...], limits: tuple[float, float] | None
) -> FileDecoder | None:
    """Return the decoder of a user's model, with the image size from one latent of zeros; None without
    ``decode``.

    Raises:
        ValueError: it fails, or does not give one image.
    """
    if not hasattr(model, "decode"):
        return None
    try:
        with torch.no_grad():
            image = model.decode(torch.zeros(1, *event))
    except Exception as error:
        raise ValueError(
            f"{name}: decode fails on a latent of zeros {(1, *event)} "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    if not isinstance(image, Tensor) or image.ndim < 2 or len(image) != 1:
        description = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"{name}: decode gave {description} for one latent; it must return a tensor (batch, *image)"
        )
    return FileDecoder(model.decode, tuple(image.shape[1:]), limits)
