"""A shipped class-conditional EDM score network, read from its card, as a Denoiser."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from ..denoiser import Denoiser, labels_for, per_row
from ..nets.unet import EDMPrecond, UNet
from ..reference import Moments, Reference
from .card import Card, load_card
from .features import FashionExtractor
from .moments import card_moments
from .reference import card_reference, extractor_of, value_range


class NetworkDenoiser(Denoiser):
    """A class-conditional EDM network from its card.

    The network runs in float32; scaling and skip connection use the state's dtype, so a float64
    state keeps its digits at small sigma. Label ``classes`` is the null label, which training put
    in for a tenth of the images: the network's unconditional estimate, and what guidance
    extrapolates from. Unconditional *sampling* is better served by drawing a label a sample
    (:meth:`draw_labels`), because the classes make up the data.

    Args:
        card: a card of architecture ``EDMPrecond(UNet)``.
        weights: of the network, where the card holds other networks' too; None for all.

    Raises:
        CardError: the weights do not match the card.
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
        self._class_counts: list[float] = card.data["class_counts"]
        self.classes, self.class_weights = len(self._class_counts), self._class_counts

    @staticmethod
    def network(card: Card) -> nn.Module:
        """Return the network of a card without its weights: a function of ``(x, sigma, labels)``."""
        return EDMPrecond(UNet(**card.architecture["net"]), card.architecture["sigma_data"])

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`Denoiser.denoise`.

        Labels in [0, ``classes``], where None and ``classes`` mean no label.
        """
        n = len(x)
        level = per_row(sigma, x, x.dtype)
        labels = torch.full((n,), self.classes, device=x.device) if labels is None else labels
        return self._net(
            x.contiguous(memory_format=torch.channels_last), level, labels
        ).contiguous()

    def draw_labels(self, ids: Tensor, seed: int) -> Tensor:
        """Return labels with the frequencies of the training data, each a function of (seed, id) alone.

        ``(batch,)`` int64 on ``ids``'s device.
        """
        return labels_for(ids, seed, self._class_counts)

    def to(self, device: torch.device | str) -> NetworkDenoiser:
        """Return a copy of this model with its weights on ``device``; the extractor follows its samples."""
        twin = copy.copy(self)
        twin._net = copy.deepcopy(self._net).to(device)
        return twin

    @cached_property
    def _reference(self) -> Reference | None:
        return card_reference(self.card)

    def reference(self) -> Reference | None:
        """Return the card's reference: moments of the training images, held-out images, converged samples;
        see ``models.cards.reference``.
        """
        return self._reference

    def moments(self) -> Moments | None:
        """Return the card's moments, with a mean a class, else its reference's if that is in pixels."""
        return card_moments(self.card) or super().moments()

    def mode_of(self, x: Tensor) -> Tensor | None:
        """Return the class that the card's extractor sees, ``(batch,)`` int64; None without an image
        extractor.
        """
        extractor = extractor_of(self.card)  # it knows nothing outside the data range
        return (
            extractor.predict(x.clamp(*value_range(self.card)))
            if isinstance(extractor, FashionExtractor)
            else None
        )


def fashion() -> NetworkDenoiser:
    """``fashion``: Fashion-MNIST, 28 × 28, ten classes."""
    return NetworkDenoiser(load_card("fashion"))


def digits() -> NetworkDenoiser:
    """``digits``: scikit-learn's digits, 8 × 8, ten classes."""
    return NetworkDenoiser(load_card("digits"))


def emoji() -> NetworkDenoiser:
    """``emoji``: emoji of a font, RGB, 32 × 32, nine classes."""
    return NetworkDenoiser(load_card("emoji"))
