"""Features of a Fashion-MNIST classifier's last hidden layer, for Fréchet distances."""

from __future__ import annotations

import copy
from functools import cached_property, lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets.encoders import Classifier
from ..reference import FloatArray
from .card import AXES, CARDS, Card, load_card

CHUNK = 96
"""Images of every evaluation: a constant, so features of an image do not depend on the others."""


class FashionExtractor:
    """The shipped Fashion-MNIST classifier as an :class:`~samplerbench.models.Extractor`.

    Images are not resized, quantised or clamped; the caller clamps samples to the reference's range
    and counts them. The network runs on the device of the images, on a copy made once a device.

    Args:
        card: the card ``fashion-features``; other weights are another identity.

    Raises:
        CardError: the weights do not match the card.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._net = Classifier(**card.architecture["net"])
        self._net.load_state_dict(card.tensors())
        self._net = self._net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._copies = {torch.device("cpu"): self._net}
        self.dim = self._net.classify.in_features
        self.identity = f"{card.identity}-float32-range[-1,1]"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` float64 of images ``(n, 1, 28, 28)`` in [-1, 1], any floating dtype,
        on any device.

        Raises:
            ValueError: ``x`` has another shape.
        """
        return self._features(x).cpu().double().numpy()

    @cached_property
    def axes(self) -> tuple[FloatArray, str]:
        """Principal axes ``(dim, dim)`` of real images' features, as whitening columns, widest first; and
        their hash.

        Raises:
            CardError: the card has no axes, or their file is another.
        """
        return self._card.tensors(AXES)["axes"].double().numpy(), self._card.files[AXES].sha256[:16]

    def predict(self, x: Tensor) -> Tensor:
        """Return the most likely class of each image, ``(n,)`` int64 on ``x``'s device."""
        features = self._features(x)
        with torch.no_grad():
            return self._on(x.device).classify(features).argmax(dim=1)

    def _on(self, device: torch.device) -> Classifier:
        if device not in self._copies:
            self._copies[device] = copy.deepcopy(self._net).to(device)
        return self._copies[device]

    @torch.no_grad()
    def _features(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(
                f"the extractor {self.identity} expects images (n, 1, 28, 28), not {tuple(x.shape)}"
            )
        net, parts = self._on(x.device), []
        for start in range(0, len(x), CHUNK):
            part = x[start : start + CHUNK].to(torch.float32)
            full = F.pad(part, (0, 0) * 3 + (0, CHUNK - len(part))).contiguous(
                memory_format=torch.channels_last
            )
            parts.append(net.features(full)[: len(part)])
        return torch.cat(parts) if parts else torch.empty(0, self.dim, device=x.device)


@lru_cache(maxsize=4)
def load_extractor(name: str) -> FashionExtractor:
    """Load the extractor of a card, once a process."""
    return FashionExtractor(load_card(name, CARDS))
