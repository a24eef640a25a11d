"""Small networks of 28 × 28 images: an autoencoder with latents of 4 × 8 × 8, and a classifier for features."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUP = 8
"""Channels per normalisation group."""
MARGIN = 2
"""Pixels of background on each side, which make 32 × 32 of 28 × 28."""
LATENT = (4, 8, 8)


class Residual(nn.Module):
    """Residual block x + f(x) with f two 3 × 3 convolutions, normalised before each.

    Args:
        channels: of the image.
        batch: True to normalise by the batch; False in groups, and to start as the identity.
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
    """Classifier of 28 × 28 images, through ``features`` numbers for comparisons.

    Each feature is a learnt weighted mean over the positions of its own map, so it knows what is in
    the image and roughly where. The features are batch-normalised without scale or shift, with no
    non-linearity after it: each has unit variance on the training data, so none can be dead and
    none can outweigh the others in a Fréchet distance, and their distribution stays close to
    Gaussian.

    Args:
        channels: width at 14 × 14 and at 7 × 7.
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
        """Return logits ``(batch, classes)``."""
        return self.classify(self.features(x))


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
