"""Decoder of a latent model: the last stage, after sampling and before features."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Decoder(Protocol):
    """Decoder from latents to images.

    Attributes:
        event: shape of one image, such as ``(3, 256, 256)``.
        limits: range of the values of images, which are clamped to it before their features are
            taken; None for no range.
        identity: fingerprint of its images, if the model's own does not cover it.
        batch: latents that it takes at a time: an image is many times as large as a latent.
        device: of the latents.
    """

    event: tuple[int, ...]
    limits: tuple[float, float] | None
    identity: str
    batch: int
    device: torch.device | str

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the images ``(n, *event)``, not clamped, of latents ``(n, …)``, n <= ``batch``, on
        ``device``.
        """
        ...

    def to(self, device: torch.device | str) -> Decoder:
        """Return a copy on ``device``; this one does not change."""
        ...


@torch.no_grad()
def decoded(decoder: Decoder, latents: Tensor) -> Tensor:
    """Return the images ``(n, *event)`` of any number of latents on any device, on the same.

    Raises:
        ValueError: the decoder gives no tensor of that shape.
    """
    images = [
        _decode_batch(decoder, part.to(decoder.device)).to(latents.device)
        for part in latents.split(decoder.batch)
    ]
    return torch.cat(images) if images else latents.new_empty((0, *decoder.event))


def _decode_batch(decoder: Decoder, latents: Tensor) -> Tensor:
    images, shape = decoder(latents), (len(latents), *decoder.event)
    if not isinstance(images, Tensor) or tuple(images.shape) != shape:
        description = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"the decoder gave {description} for latents {tuple(latents.shape)}; it must give a tensor "
            f"of the shape {shape}"
        )
    return images.detach()
