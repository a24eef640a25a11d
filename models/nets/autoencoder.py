"""Small autoencoder of 28 × 28 images: latents of 4 × 8 × 8 in unit scale, and images of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP = 8
"""Channels per normalisation group."""
MARGIN = 2
"""Pixels of background on each side, which make 32 × 32 of 28 × 28."""
LATENT = (4, 8, 8)


class Residual(nn.Module):
    """Residual block x + f(x) with f two 3 × 3 convolutions, normalised before each; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(channels // GROUP, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(channels // GROUP, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Autoencoder(nn.Module):
    """Autoencoder of images ``(batch, 1, 28, 28)`` in [-1, 1] with latents ``(batch, 4, 8, 8)``.

    A channel of the latents has mean 0 and standard deviation 1 over the training images, after
    normalisation by ``mean`` and ``std`` ``(4,)``. Training normalises by the mini-batch instead. The
    decoder has learned to tolerate white noise on the latents.

    Args:
        channels: width at 16 × 16 and at 8 × 8, multiples of 8.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        fine, coarse = channels
        latent = LATENT[0]
        self.encoder = nn.Sequential(
            nn.Conv2d(4, fine, 3, padding=1),
            Residual(fine),
            nn.Conv2d(fine, coarse, 2, stride=2),
            Residual(coarse),
            nn.GroupNorm(coarse // GROUP, coarse),
            nn.SiLU(),
            nn.Conv2d(coarse, latent, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, coarse, 3, padding=1),
            Residual(coarse),
            Residual(coarse),
            nn.ConvTranspose2d(coarse, fine, 2, stride=2),
            Residual(fine),
            nn.GroupNorm(fine // GROUP, fine),
            nn.SiLU(),
            nn.Conv2d(fine, 4, 3, padding=1),
        )
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("std", torch.ones(latent))

    def raw(self, images: Tensor) -> Tensor:
        """Return latents ``(batch, 4, 8, 8)`` in a scale that training does not fix."""
        return self.encoder(F.pixel_unshuffle(F.pad(images, (MARGIN,) * 4, value=-1.0), 2))

    def encode(self, images: Tensor) -> Tensor:
        """Return latents ``(batch, 4, 8, 8)`` of images ``(batch, 1, 28, 28)`` in [-1, 1]."""
        return (self.raw(images) - self.mean[:, None, None]) / self.std[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Return images ``(batch, 1, 28, 28)`` of latents ``(batch, 4, 8, 8)``; they are not clamped."""
        full = F.pixel_shuffle(self.decoder(latents), 2)
        return full[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
