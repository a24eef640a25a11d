"""A shipped latent model: a score network on the latents of an autoencoder, both from one card."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .card import Card, load_card
from .features import FashionExtractor
from .network import NetworkDenoiser
from .reference import extractor_of, value_range

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


AUTOENCODER, NETWORK = "autoencoder.", "network."
"""Prefixes of the names of their weights."""


class CardDecoder:
    """The autoencoder of a card, as a :class:`~samplerbench.models.decoder.Decoder`.

    Args:
        network: in evaluation mode.
        event: shape of an image.
        limits: range of images.
        device: where the network is.
    """

    identity = ""  # the model's is the hash of the weights of both
    batch = 96

    def __init__(
        self,
        network: Autoencoder,
        event: tuple[int, ...],
        limits: tuple[float, float] | None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.event, self.limits, self.device = network, event, limits, device

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images ``(n, *event)``, computed in float32, in the dtype of the latents."""
        return self.network.decode(latents.float()).to(latents.dtype)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return latents of images ``(n, *event)``, on ``device``, in their dtype."""
        return self.network.encode(images.float()).to(images.dtype)

    def to(self, device: torch.device | str) -> CardDecoder:
        """Return a copy on ``device``."""
        network = copy.deepcopy(self.network).to(device)
        return CardDecoder(network, self.event, self.limits, device)


class LatentNetwork(NetworkDenoiser):
    """A class-conditional EDM network on latents, with the decoder that makes images of them.

    Samples are latents; features, classes and the range of the data refer to images.

    Args:
        card: a card of architecture ``EDMPrecond(UNet) on Autoencoder``.

    Attributes:
        autoencoder: its decoder, which knows how to encode too.

    Raises:
        CardError: the weights do not match the card.
    """

    autoencoder: CardDecoder

    def __init__(self, card: Card) -> None:
        tensors = card.tensors()
        network, autoencoder = (
            {key.removeprefix(of): value for key, value in tensors.items() if key.startswith(of)}
            for of in (NETWORK, AUTOENCODER)
        )
        super().__init__(card, network)
        self.limits = None
        module = Autoencoder(**card.architecture["autoencoder"])
        module.load_state_dict(autoencoder)
        module = module.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
        self.autoencoder = CardDecoder(module, tuple(card.data["shape"]), value_range(card))
        self.decoder = self.autoencoder

    def to(self, device: torch.device | str) -> LatentNetwork:
        """Return a copy of this model with its weights, and the decoder's, on ``device``."""
        twin = super().to(device)
        assert isinstance(twin, LatentNetwork)
        twin.autoencoder = self.autoencoder.to(device)
        twin.decoder = twin.autoencoder
        return twin

    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return the class that the card's extractor sees in the images of latents, ``(batch,)`` int64."""
        extractor = extractor_of(self.card)
        return (
            extractor.predict(self.decode(x).clamp(*value_range(self.card)))
            if isinstance(extractor, FashionExtractor)
            else None
        )


def fashion_latent() -> LatentNetwork:
    """``fashion-latent``: Fashion-MNIST in latents of 4 × 8 × 8, ten classes."""
    return LatentNetwork(load_card("fashion-latent"))
