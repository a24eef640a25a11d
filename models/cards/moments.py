"""Class means and covariance of a card's data, for initial states closer to the data than noise.

A network that is told the class of each sample has the flow of that class's data, so the mean is
each class's own. The covariance about these means is pooled over the classes; of this symmetric
matrix the lower triangle is stored, in float32.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..reference import FloatArray, Moments
from .card import MOMENTS, Card, CardError


def card_moments(card: Card) -> Moments | None:
    """Means ``(classes, d)`` and pooled covariance ``(d, d)`` of flattened samples, float64, or
    None for a card without them.

    Raises:
        CardError: the file does not match its card, or holds moments of other data than the card's.
    """
    return unpack(card, card.tensors(MOMENTS)) if card.moments else None


def unpack(card: Card, tensors: dict[str, Tensor]) -> Moments:
    """The moments that ``samplerbench_studies.training.reference`` stored."""
    means, lower = (tensors[name].double().numpy() for name in ("means", "lower"))
    classes, d = len(card.data["class_counts"]), int(np.prod(card.event))
    if means.shape != (classes, d) or lower.shape != (d * (d + 1) // 2,):
        remedy = (
            f"run python -m samplerbench_studies.training.reference {card.name} "
            "--moments in a checkout of samplerbench"
        )
        raise CardError(
            f"{card.name}: {MOMENTS} is not of {classes} classes of samples "
            f"of {d} numbers; {remedy}"
        )
    cov: FloatArray = np.zeros((d, d))
    cov[np.tril_indices(d)] = lower
    return means, cov + np.tril(cov, -1).T
