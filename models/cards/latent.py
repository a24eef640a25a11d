"""A shipped latent model: a score network on the latents of an autoencoder, both from one card."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..nets.encoders import Autoencoder
from .card import Card, load_card
from .features import FashionExtractor
from .network import NetworkDenoiser
from .reference import extractor_of, value_range

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
