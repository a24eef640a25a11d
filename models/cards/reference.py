"""Reference statistics and feature extractors of cards, from their files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets.small_image_nets import Classifier
from ..networks import prepare_for_inference
from ..reference import (
    BlockMeansExtractor,
    Extractor,
    FloatArray,
    Identity,
    Moments,
    Reference,
    Statistics,
)
from .card import AXES, CARDS, CONVERGED, MOMENTS, REFERENCE, Card, CardError, load_card

CHUNK = 96
"""Images in each call of the network, fixed so that features do not depend on other images."""


class FashionExtractor:
    """Shipped Fashion-MNIST classifier as an :class:`~samplerbench.models.Extractor`.

    It neither resizes, quantises nor clamps images; the caller clamps samples to the reference's
    range. The network runs on the device of the images, with one copy per device.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._net = prepare_for_inference(Classifier(**card.architecture["net"]))
        self._net.load_state_dict(card.tensors())
        self._copies = {torch.device("cpu"): self._net}
        self.dim = self._net.classify.in_features
        self.identity = f"{card.identity}-float32-range[-1,1]"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` float64 of images ``(n, 1, 28, 28)`` in [-1, 1]."""
        return self._features(x).cpu().double().numpy()

    @cached_property
    def axes(self) -> tuple[FloatArray, str]:
        """Principal axes of real features, columns ``(dim, dim)``; and the hash of their file.

        Axes are in the order of falling variance, each divided by the standard deviation along it.
        """
        return self._card.tensors(AXES)["axes"].double().numpy(), self._card.files[AXES].sha256[:16]

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Return the most likely class of each image, ``(n,)`` int64 on ``x``'s device."""
        return self._classifier_on(x.device).classify(self._features(x)).argmax(dim=1)

    def _classifier_on(self, device: torch.device) -> Classifier:
        if device not in self._copies:
            self._copies[device] = copy.deepcopy(self._net).to(device)
        return self._copies[device]

    @torch.no_grad()
    def _features(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(
                f"the extractor {self.identity} expects images (n, 1, 28, 28), not {tuple(x.shape)}"
            )
        net, parts = self._classifier_on(x.device), []
        for part in x.split(CHUNK):
            full = F.pad(part.to(torch.float32), (0, 0) * 3 + (0, CHUNK - len(part)))
            features = net.features(full.contiguous(memory_format=torch.channels_last))
            parts.append(features[: len(part)])
        return torch.cat(parts)


@lru_cache(maxsize=4)
def load_extractor(name: str) -> FashionExtractor:
    """Return the extractor of the card called ``name``; a process loads it once."""
    return FashionExtractor(load_card(name, CARDS))


def card_moments(card: Card) -> Moments | None:
    """Read class means and pooled covariance of a card's data; None if the card has no moments."""
    return unpack_moments(card, card.tensors(MOMENTS)) if card.moments else None


def unpack_moments(card: Card, tensors: dict[str, Tensor]) -> Moments:
    """Return class means ``(classes, d)`` and pooled covariance ``(d, d)`` from stored tensors.

    Raises a CardError if their shapes do not fit the card.
    """
    means, lower = (tensors[name].double().numpy() for name in ("means", "lower"))
    classes, d = len(card.data["class_counts"]), int(np.prod(card.event))
    if means.shape != (classes, d) or lower.shape != (d * (d + 1) // 2,):
        raise CardError(
            f"{card.name}: {MOMENTS} is not of {classes} classes of samples of {d} numbers; "
            f"run python -m samplerbench_studies.training.reference {card.name} "
            "--moments in a checkout of samplerbench"
        )
    cov: FloatArray = np.zeros((d, d))
    cov[np.tril_indices(d)] = lower
    return means, cov + np.tril(cov, -1).T


def extractor_of(card: Card) -> Extractor:
    """Return a card's extractor: a classifier, block means, or pixels if the card names none."""
    if not card.extractor:
        return Identity(card.event)
    name, _, side = card.extractor.rpartition("-")
    if name == "blocks":
        return BlockMeansExtractor(card.event, int(side))
    return load_extractor(card.extractor)


def clamped_features(card: Card, samples: Tensor) -> FloatArray:
    """Return features ``(n, d)`` of samples clamped to the range of the card's data."""
    low, high = value_range(card)
    return extractor_of(card)(samples.clamp(low, high))


def value_range(card: Card) -> tuple[float, float]:
    """Return the range (low, high) of a card's data, to which samples are clamped for scoring."""
    low, high = card.data["range"]
    return float(low), float(high)


def card_reference(card: Card, draw: Callable[[int], Tensor] | None = None) -> Reference | None:
    """Return a card's reference; None for a card without one. The file is read at its first use.

    ``draw(n)`` gives held-out samples in place of the stored ones. If the card names another card,
    the result is the other's reference without converged samples, and ``draw`` is ignored. Raises a
    CardError if stored features are of another extractor.
    """
    if not card.reference:
        return None
    if other := card.reference.get("card"):
        shared = card_reference(load_card(other))
        return None if shared is None else shared.without_converged()
    extractor = extractor_of(card)
    if card.reference["extractor"] != extractor.identity:
        raise CardError(
            f"{card.name}: {REFERENCE} holds features of {card.reference['extractor']}, "
            f"but the extractor is now {extractor.identity}; "
            f"run python -m samplerbench_studies.training.reference {card.name} in a checkout "
            "of samplerbench"
        )

    is_sorted = card.data["name"] == "emoji"  # by class, so the first samples are not like the rest
    called = f"{card.data['name']}-{card.reference['set']}{'-mixed' * is_sorted}"

    def statistics() -> Statistics:
        tensors = card.tensors(REFERENCE)

        def held_out(n: int) -> FloatArray:
            if draw is None:
                stored = tensors["held_out"].double().numpy()
                order = np.random.default_rng(0).permutation(len(stored))[:n]
                return stored[order if is_sorted else slice(n)]
            return clamped_features(card, draw(n))

        converged = None
        if CONVERGED in card.files:
            converged = card.tensors(CONVERGED)["features"].double().numpy()
        return Statistics(tensors["mean"].numpy(), tensors["cov"].numpy(), held_out, converged)

    return Reference(
        extractor=extractor,
        n=int(card.reference["n"]),
        identity=f"{called}-{card.files[REFERENCE].sha256[:16]}-{extractor.identity}",
        make=statistics,
        clamp=value_range(card),
    )
