"""Small networks for 28 × 28 images: an autoencoder of latents 4 × 8 × 8, a feature classifier."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP = 8
"""Channels per normalisation group."""
MARGIN = 2
"""Background pixels added on each side, so that 28 × 28 becomes 32 × 32."""
LATENT = (4, 8, 8)


class Residual(nn.Module):
    """Residual block of two 3 × 3 convolutions, each after a normalisation and a SiLU.

    Args:
        channels: channels of the image.
        batch: True for batch normalisation. False for group normalisation and a block that starts as the identity.
    """

    def __init__(self, channels: int, *, batch: bool = False) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if batch else partial(nn.GroupNorm, channels // GROUP)
        self.norm1 = norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=not batch)
        self.norm2 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=not batch)
        if not batch:
            nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, h, w)`` to the same shape."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Classifier(nn.Module):
    """Classifier of 28 × 28 images, whose ``features`` serve to compare sets of images.

    Each feature is a weighted mean over the positions of its own map, with learnt weights. So it depends on what is in
    the image and roughly where. Features are batch-normalised without scale or shift, and no non-linearity follows. So
    each has unit variance on the training data, and none is dead or outweighs the others in a Fréchet distance. The
    distribution of features also stays close to Gaussian.

    Args:
        channels: channels at 14 × 14 and at 7 × 7.
        features: number of features.
        classes: number of classes.
    """

    def __init__(
        self, channels: tuple[int, int] = (32, 64), features: int = 128, classes: int = 10
    ) -> None:
        super().__init__()
        fine, coarse = channels
        self.stem = nn.Conv2d(4, fine, 3, padding=1, bias=False)
        self.fine = Residual(fine, batch=True)
        self.shrink = nn.Conv2d(fine, coarse, 2, stride=2, bias=False)
        self.coarse = nn.Sequential(Residual(coarse, batch=True), Residual(coarse, batch=True))
        self.norm = nn.BatchNorm2d(coarse)
        self.maps = nn.Conv2d(coarse, features, 1, bias=False)
        self.norm_maps = nn.BatchNorm2d(features)
        self.pool = nn.Parameter(torch.ones(features, 7, 7))
        self.norm_features = nn.BatchNorm1d(features, affine=False)
        self.classify = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return features ``(batch, features)`` of images ``(batch, 1, 28, 28)`` in [-1, 1]."""
        h = self.fine(self.stem(F.pixel_unshuffle(x, 2)))
        h = self.coarse(self.shrink(h))
        h = F.silu(self.norm_maps(self.maps(F.silu(self.norm(h)))))
        return self.norm_features((h * self.pool).mean(dim=(2, 3)).float())

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of images ``(batch, 1, 28, 28)`` in [-1, 1]."""
        return self.classify(self.features(x))


class Autoencoder(nn.Module):
    """Autoencoder of images ``(batch, 1, 28, 28)`` in [-1, 1] with latents ``(batch, 4, 8, 8)``.

    Latents are normalised by the buffers ``mean`` and ``std``, each ``(4,)``. Over the training images, each channel
    then has mean 0 and standard deviation 1. Training normalises by the mini-batch instead. The decoder was trained to
    tolerate white noise on the latents.

    Args:
        channels: channels at 16 × 16 and at 8 × 8, multiples of 8.
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

    def encode_raw(self, images: Tensor) -> Tensor:
        """Return latents ``(batch, 4, 8, 8)`` of images ``(batch, 1, 28, 28)``, not normalised."""
        return self.encoder(F.pixel_unshuffle(F.pad(images, (MARGIN,) * 4, value=-1.0), 2))

    def encode(self, images: Tensor) -> Tensor:
        """Return normalised latents ``(batch, 4, 8, 8)`` of images ``(batch, 1, 28, 28)``."""
        return (self.encode_raw(images) - self.mean[:, None, None]) / self.std[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Return images ``(batch, 1, 28, 28)``, not clamped, of normalised ``latents``."""
        full = F.pixel_shuffle(self.decoder(latents), 2)
        return full[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
