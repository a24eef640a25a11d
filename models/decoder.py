"""What makes images of the samples of a latent model: the last stage, after sampling and before
features.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Decoder(Protocol):
    """Makes images of latents.

    Attributes:
        event: shape of one image, such as ``(3, 256, 256)``.
        limits: range of the values of images, which they are clamped to before their features are
            taken; None where there is none.
        identity: what pins the images that it makes, where the model's own does not.
        batch: latents that it takes at a time: an image is many times as large as a latent.
        device: where it takes them.
    """

    event: tuple[int, ...]
    limits: tuple[float, float] | None
    identity: str
    batch: int
    device: torch.device | str

    def __call__(self, latents: Tensor) -> Tensor:
        """The images ``(n, *event)`` of latents ``(n, …)``, n <= ``batch``, on ``device``; they are
        not clamped.
        """
        ...

    def to(self, device: torch.device | str) -> Decoder:
        """A copy on ``device``; this one stays where and as it is."""
        ...


@torch.no_grad()
def decoded(decoder: Decoder, latents: Tensor) -> Tensor:
    """The images ``(n, *event)`` of any number of latents on any device, on the same.

    Raises:
        ValueError: the decoder gives no tensor of that shape.
    """
    images = [
        _checked(decoder, part.to(decoder.device)).to(latents.device)
        for part in latents.split(decoder.batch)
    ]
    return torch.cat(images) if images else latents.new_empty((0, *decoder.event))


def _checked(decoder: Decoder, latents: Tensor) -> Tensor:
    images, shape = decoder(latents), (len(latents), *decoder.event)
    if not isinstance(images, Tensor) or tuple(images.shape) != shape:
        found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"the decoder gave {found} for latents {tuple(latents.shape)}; it must give a tensor "
            f"of the shape {shape}"
        )
    return images.detach()
