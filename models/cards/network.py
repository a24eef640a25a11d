"""A shipped class-conditional EDM score network, read from its card, as a Denoiser."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from ..denoiser import Denoiser, labels_for, level_per_row
from ..nets.encoders import Autoencoder
from ..nets.unet import EDMPrecond, MapPrecond, UNet
from ..reference import Moments, Reference
from .card import CONVERGED, Card, load_card
from .reference import FashionExtractor, card_moments, card_reference, extractor_of, value_range


class NetworkDenoiser(Denoiser):
    """A class-conditional EDM network from its card.

    The network runs in float32; scaling and skip connection use the state's dtype, so a float64
    state keeps its digits at small sigma. Label ``classes`` is the null label, which training put
    in for a tenth of the images. Unconditional *sampling* is better served by drawing a label a
    sample (:meth:`draw_labels`), because the classes make up the data.
    """

    dtype = torch.float32

    def __init__(self, card: Card, weights: Mapping[str, Tensor] | None = None) -> None:
        self.card = card
        self.name, self.event, self.identity = card.name, card.event, card.identity
        self.sigma_min, self.sigma_max = card.sigma_min, card.sigma_max
        self.limits = value_range(card)
        self._net = self.network(card)
        self._net.load_state_dict(card.tensors() if weights is None else weights)
        self._net = self._net.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
        self.class_weights = card.data["class_counts"]
        self.classes = len(card.data["class_counts"])

    @staticmethod
    def network(card: Card) -> nn.Module:
        """Return the network of a card without its weights: a function of ``(x, sigma, labels)``."""
        return EDMPrecond(UNet(**card.architecture["net"]), card.architecture["sigma_data"])

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`Denoiser.denoise`.

        Labels in [0, ``classes``], where None and ``classes`` mean no label.
        """
        n = len(x)
        level = level_per_row(sigma, x, x.dtype)
        labels = torch.full((n,), self.classes, device=x.device) if labels is None else labels
        return self._net(
            x.contiguous(memory_format=torch.channels_last), level, labels
        ).contiguous()

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor:
        """Return labels with the frequencies of the training data, each a function of (seed, id) alone.

        ``(batch,)`` int64 on ``ids``'s device.
        """
        return labels_for(ids, seed, self.card.data["class_counts"])

    def to(self, device: torch.device | str) -> NetworkDenoiser:
        """Return a copy of this model with its weights on ``device``; the extractor follows its samples."""
        twin = copy.copy(self)
        twin._net = copy.deepcopy(self._net).to(device)
        return twin

    @cached_property
    def _reference(self) -> Reference | None:
        """The card's reference, read once."""
        return card_reference(self.card)

    def reference(self) -> Reference | None:
        """Return the card's reference (``models.cards.reference``)."""
        return self._reference

    def moments(self) -> Moments | None:
        """Return the card's moments, with a mean a class, else its reference's if that is in pixels."""
        return card_moments(self.card) or super().moments()

    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return the class that the card's extractor sees, ``(batch,)`` int64; None without one."""
        extractor = extractor_of(self.card)
        if not isinstance(extractor, FashionExtractor):
            return None
        # it knows nothing outside the data range
        return extractor.predict(self.decode(x).clamp(*value_range(self.card)))


def fashion() -> NetworkDenoiser:
    """``fashion``: Fashion-MNIST, 28 × 28, ten classes."""
    return NetworkDenoiser(load_card("fashion"))


def digits() -> NetworkDenoiser:
    """``digits``: scikit-learn's digits, 8 × 8, ten classes."""
    return NetworkDenoiser(load_card("digits"))


def emoji() -> NetworkDenoiser:
    """``emoji``: emoji of a font, RGB, 32 × 32, nine classes."""
    return NetworkDenoiser(load_card("emoji"))


class NetworkMap(NetworkDenoiser):
    """A few-step map from its card: the end of the teacher's path through x, at ``sigma_min``.

    Data, classes and reference come from its teacher. Distillation used labels only: the map has no
    guidance, and its answer to "no label" means nothing.
    """

    kind = "map"
    null_label = False

    @staticmethod
    def network(card: Card) -> nn.Module:
        """See :meth:`NetworkDenoiser.network`."""
        about = card.architecture
        return MapPrecond(UNet(**about["net"]), about["sigma_data"], card.sigma_min)

    @cached_property
    def _teacher_card(self) -> Card:
        return load_card(self.card.training["teacher"])

    @cached_property
    def _reference(self) -> Reference | None:
        """The teacher's reference without its converged samples, which are another model's."""
        teacher = self._teacher_card
        files = {name: file for name, file in teacher.files.items() if name != CONVERGED}
        return card_reference(replace(teacher, files=files))

    def moments(self) -> Moments | None:
        """Return the moments of the data, from its teacher's card."""
        return card_moments(self._teacher_card)


def fashion_map() -> NetworkMap:
    """``fashion-map``: one to four jumps, distilled from ``fashion``."""
    return NetworkMap(load_card("fashion-map"))


AUTOENCODER, NETWORK = "autoencoder.", "network."
"""Prefixes of the names of their weights."""


class CardDecoder:
    """The autoencoder of a card, as a :class:`~samplerbench.models.denoiser.Decoder`."""

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

    Samples are latents; features, classes and the range of the data refer to images. The decoder is
    ``autoencoder``, which knows how to encode too.
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


def fashion_latent() -> LatentNetwork:
    """``fashion-latent``: Fashion-MNIST in latents of 4 × 8 × 8, ten classes."""
    return LatentNetwork(load_card("fashion-latent"))
