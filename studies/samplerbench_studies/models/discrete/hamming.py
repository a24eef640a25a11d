"""Features of binary images by Hamming distances, the numbers of pixels that differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.models import load_card
from samplerbench.models.cards import REFERENCE
from samplerbench_studies import CARDS

from .network import CARD

SHIFTS = ((0, 1), (1, 0))
"""Shifts (rows, columns) of an image against itself."""


def hamming(x: Tensor, prototypes: Tensor) -> NDArray[np.float64]:
    """Return features ``(n, m + 2)`` of binary images.

    The first m are distances to the prototypes, which depend on the kind of garment. The last two
    are the distances to the image itself shifted by one column and by one row (pixels shifted out
    of the frame are not counted), which distinguish smooth from speckled images.

    Args:
        x: ``(n, 1, h, w)`` of 0 and 1.
        prototypes: ``(m, 1, h, w)`` of 0 and 1.
    """
    to_prototypes = torch.cdist(x.flatten(1).double(), prototypes.flatten(1).double(), p=1)
    _, _, h, w = x.shape
    to_self = [
        (x[:, :, down:, right:] != x[:, :, : h - down, : w - right]).flatten(1).sum(1)
        for down, right in SHIFTS
    ]
    return torch.cat([to_prototypes, torch.stack(to_self, 1).double()], 1).numpy()


@dataclass(frozen=True, eq=False)
class BinaryReference:
    """Reference data for samples of binary images.

    Attributes:
        prototypes: ``(m, 1, h, w)``, the majority image of each class.
        mean: mean ``(m + 2,)`` of the training images' features.
        cov: covariance ``(m + 2, m + 2)`` of these features.
        held_out: ``(k, 1, h, w)`` images on which nothing was trained.
    """

    prototypes: Tensor
    mean: NDArray[np.float64]
    cov: NDArray[np.float64]
    held_out: Tensor

    def features(self, x: Tensor) -> NDArray[np.float64]:
        """Return the :func:`hamming` features of images."""
        return hamming(x, self.prototypes)


def majority(x: Tensor, labels: Tensor) -> Tensor:
    """Return each class's image of the most frequent value of each pixel, ``(m, *event)``."""
    return torch.stack(
        [(x[labels == label].mean(0) > 0.5).float() for label in range(int(labels.max()) + 1)]
    )


def pack(x: Tensor) -> Tensor:
    """Return binary images ``(n, *event)`` as bits, ``(n, ceil(d / 8))`` uint8."""
    return torch.from_numpy(np.packbits(x.flatten(1).bool().numpy(), axis=1))


def unpack(bits: Tensor, event: tuple[int, ...]) -> Tensor:
    """Return images ``(n, *event)`` float32 from bits: the inverse of :func:`pack`."""
    count = int(np.prod(event))
    return torch.from_numpy(
        np.unpackbits(bits.numpy(), axis=1, count=count).astype(np.float32)
    ).reshape(-1, *event)


def fashion_binary() -> BinaryReference:
    """Return the reference of Fashion-MNIST in two colours, from the card ``fashion-binomial``.

    Raises:
        CardError: the file does not match the card.
    """
    card = load_card(CARD, CARDS)
    tensors = card.tensors(REFERENCE)
    return BinaryReference(
        unpack(tensors["prototypes"], card.event),
        tensors["mean"].numpy(),
        tensors["cov"].numpy(),
        unpack(tensors["held_out"], card.event),
    )
