"""Decoding of an autoencoder's latents (codes) to images: interface, and decoding in batches."""

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
        identity: fingerprint of the decoder; "" if the model's fingerprint covers the decoder.
        batch: largest number of latents in a call, since an image is much larger than a latent.
        device: device of the weights, on which latents must be.
    """

    event: tuple[int, ...]
    limits: tuple[float, float] | None
    identity: str
    batch: int
    device: torch.device | str

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images ``(n, *event)``, not clamped, of at most ``batch`` latents ``(n, …)``."""
        ...

    def to(self, device: torch.device | str) -> Decoder:
        """Return a copy of the decoder on ``device``; this one does not change."""
        ...


@torch.no_grad()
def decode_in_batches(decoder: Decoder, latents: Tensor) -> Tensor:
    """Return images ``(n, *decoder.event)`` of any number of latents, on the latents' device."""
    images = []
    for part in latents.split(decoder.batch):
        decoded, shape = decoder(part.to(decoder.device)), (len(part), *decoder.event)
        if not isinstance(decoded, Tensor) or tuple(decoded.shape) != shape:
            given = tuple(decoded.shape) if isinstance(decoded, Tensor) else type(decoded).__name__
            raise ValueError(
                f"the decoder gave {given} for latents {tuple(part.shape)}; it must give a tensor "
                f"of the shape {shape}"
            )
        images.append(decoded.detach().to(latents.device))
    return torch.cat(images) if images else latents.new_empty((0, *decoder.event))
