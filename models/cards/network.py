"""Class-conditional EDM score networks that are shipped with cards, as Denoisers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from ..adapters import NativeDenoiser
from ..denoiser import Denoiser, level_per_row
from ..label_draws import labels_for
from ..nets.small_image_nets import Autoencoder
from ..nets.unet import EDMPrecond, FlowPrecond, MapPrecond, UNet
from ..networks import prepare_for_inference
from ..process import RectifiedFlow
from ..reference import Moments, Reference
from .card import Card, load_card
from .reference import FashionExtractor, card_moments, card_reference, extractor_of, value_range


class NetworkDenoiser(Denoiser):
    """Denoiser of a shipped class-conditional EDM network.

    The network runs in float32. EDM's scaling and skip connection use the state's dtype, so that
    a float64 state is not rounded. The label ``classes`` means "no label"; a tenth of the training
    images had it. For samples of the whole data, draw a class for each (:meth:`draw_labels`).
    ``weights`` are the network's tensors by name; None reads them from the card's file.
    """

    dtype = torch.float32

    def __init__(self, card: Card, weights: Mapping[str, Tensor] | None = None) -> None:
        self.card = card
        self.name, self.event, self.identity = card.name, card.event, card.identity
        self.sigma_min, self.sigma_max = card.sigma_min, card.sigma_max
        self.limits = value_range(card)
        self._net = prepare_for_inference(self.network(card))
        self._net.load_state_dict(card.tensors() if weights is None else weights)
        self.class_weights = card.data["class_counts"]
        self.classes = len(card.data["class_counts"])

    @staticmethod
    def network(card: Card) -> nn.Module:
        """Return a card's network, untrained: a module of ``(x, sigma, labels)``."""
        return EDMPrecond(UNet(**card.architecture["net"]), card.architecture["sigma_data"])

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the network's estimate of E[x0 | x]; None means "no label" for all rows."""
        level = level_per_row(sigma, x, x.dtype)
        if labels is None:
            if not self.null_label:
                raise ValueError(
                    f"model {self.name} has nothing that means no condition; give labels"
                )
            labels = torch.full((len(x),), self.classes, device=x.device)
        x = x.contiguous(memory_format=torch.channels_last)
        return self._net(x, level, labels).contiguous()

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor:
        """Return labels ``(batch,)`` int64, by the classes' frequencies in the training data.

        Each label is a function of (seed, id) alone, on ``ids``'s device.
        """
        return labels_for(ids, seed, self.card.data["class_counts"])

    def to(self, device: torch.device | str) -> Self:
        """Return a copy of this model with its network and decoder on ``device``."""
        twin = copy.copy(self)
        twin._net = copy.deepcopy(self._net).to(device)
        twin.decoder = self.decoder and self.decoder.to(device)
        return twin

    @cached_property
    def _reference(self) -> Reference | None:
        return card_reference(self.card)

    def reference(self) -> Reference | None:
        """Return the card's reference (:mod:`.reference`), or None for a card without one."""
        return self._reference

    def moments(self) -> Moments | None:
        """Return the card's class means and covariance, else the reference's moments, else None."""
        return card_moments(self.card) or super().moments()

    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return classes ``(batch,)`` int64 by the card's classifier; None without a classifier."""
        extractor = extractor_of(self.card)
        if not isinstance(extractor, FashionExtractor):
            return None
        # the extractor knows nothing outside the data range
        return extractor.predict(self.decode(x).clamp(*value_range(self.card)))


class NetworkFlow(NativeDenoiser):
    """Rectified flow of a card: a network of the velocity z - x0 at times t in [0, 1].

    Data, classes and labels are as in :class:`NetworkDenoiser`.
    """

    def __init__(self, card: Card) -> None:
        about, counts = card.architecture, card.data["class_counts"]
        network = prepare_for_inference(FlowPrecond(UNet(**about["net"]), about["sigma_data"]))
        network.load_state_dict(card.tensors())
        super().__init__(
            network,
            RectifiedFlow(),
            "flow",
            name=card.name,
            event=card.event,
            identity=card.identity,
            classes=len(counts),
            sigma_min=card.sigma_min,
            sigma_max=card.sigma_max,
            limits=value_range(card),
            class_weights=counts,
        )
        self.card = card

    @cached_property
    def _reference(self) -> Reference | None:
        return card_reference(self.card)

    def reference(self) -> Reference | None:
        """Return the card's reference; if shared with another card, without converged samples."""
        return self._reference


class NetworkMap(NetworkDenoiser):
    """Few-step map from x to the end, at ``sigma_min``, of the ODE path of a teacher model.

    Data, classes and reference are the teacher's. The map was distilled with labels only: it cannot
    be guided, and its output for "no label" is meaningless.
    """

    kind = "map"
    null_label = False

    @staticmethod
    def network(card: Card) -> nn.Module:
        """Return a card's few-step map, untrained: a module of ``(x, sigma, labels)``."""
        about = card.architecture
        return MapPrecond(UNet(**about["net"]), about["sigma_data"], card.sigma_min)

    @cached_property
    def _reference(self) -> Reference | None:
        # cards that name no reference are of maps that were distilled before cards had to
        of_teacher = {"card": self.card.training["teacher"]}
        return card_reference(replace(self.card, reference=self.card.reference or of_teacher))

    def moments(self) -> Moments | None:
        """Return class means and covariance from the teacher's card; None if it has none."""
        return card_moments(load_card(self.card.training["teacher"]))


AUTOENCODER, NETWORK = "autoencoder.", "network."
"""Prefixes of the names of an autoencoder's and a network's tensors in a file of weights."""


@dataclass(eq=False)
class CardDecoder:
    """Decoder of a card's autoencoder (:class:`~samplerbench.models.decoding.Decoder`)."""

    identity = ""  # the model's identity covers the weights of both
    batch = 96

    network: Autoencoder
    event: tuple[int, ...]
    limits: tuple[float, float] | None
    device: torch.device | str = "cpu"

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images ``(n, *event)``, computed in float32, in the dtype of the latents."""
        return self.network.decode(latents.float()).to(latents.dtype)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return latents of ``images`` ``(n, *event)`` on the decoder's device, in their dtype."""
        return self.network.encode(images.float()).to(images.dtype)

    def to(self, device: torch.device | str) -> CardDecoder:
        """Return a copy of the decoder on ``device``."""
        return replace(self, network=copy.deepcopy(self.network).to(device), device=device)


class LatentNetwork(NetworkDenoiser):
    """Denoiser of a shipped EDM network on latents, with a decoder from latents to images.

    States and samples are latents. Features and classes are computed from decoded images. The
    decoder can encode images too.
    """

    def __init__(self, card: Card) -> None:
        tensors = card.tensors()
        network, autoencoder = (
            {key.removeprefix(of): value for key, value in tensors.items() if key.startswith(of)}
            for of in (NETWORK, AUTOENCODER)
        )
        super().__init__(card, network)
        self.limits = None
        module = prepare_for_inference(Autoencoder(**card.architecture["autoencoder"]))
        module.load_state_dict(autoencoder)
        decoder = CardDecoder(module, tuple(card.data["shape"]), value_range(card))
        self.decoder: CardDecoder = decoder  # pyright: ignore[reportIncompatibleVariableOverride]


NETWORKS: dict[str, type[NetworkDenoiser | NetworkFlow]] = {
    "fashion": NetworkDenoiser,  # Fashion-MNIST, 28 × 28, ten classes
    "digits": NetworkDenoiser,  # scikit-learn's digits, 8 × 8, ten classes
    "emoji": NetworkDenoiser,  # emoji of a font, RGB, 32 × 32, nine classes
    "emoji-flow": NetworkFlow,  # a rectified flow of the same data
    "fashion-map": NetworkMap,  # for one to four jumps, distilled from ``fashion``
    "fashion-latent": LatentNetwork,  # Fashion-MNIST in latents of 4 × 8 × 8
}
"""Class of each shipped network, by the name of its card."""


def load_network(name: str, /) -> NetworkDenoiser | NetworkFlow:
    """Return the shipped network called ``name``, one of :data:`NETWORKS`."""
    return NETWORKS[name](load_card(name))
