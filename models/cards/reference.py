"""The reference statistics of a card, from its files."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..reference import Blocks, Extractor, FloatArray, Identity, Reference, Statistics
from .card import CONVERGED, REFERENCE, Card, CardError, load_card
from .features import load_extractor

BLOCKS = "blocks"
"""Prefix of the extractor of means of blocks of pixels."""


def extractor_of(card: Card) -> Extractor:
    """Return the feature extractor that a card names: another card, or blocks of pixels such as ``blocks-8``;
    the pixels themselves if it names none.
    """
    if not card.extractor:
        return Identity(card.event)
    name, _, side = card.extractor.rpartition("-")
    return Blocks(card.event, int(side)) if name == BLOCKS else load_extractor(card.extractor)


def clamped_features(card: Card, samples: Tensor) -> FloatArray:
    """Return features ``(n, d)`` of samples ``(n, *event)`` after clamping them to the range of the card's
    data.
    """
    low, high = value_range(card)
    return extractor_of(card)(samples.clamp(low, high))


def value_range(card: Card) -> tuple[float, float]:
    """Return the data range that samples are clamped to before the extractor sees them."""
    low, high = card.data["range"]
    return float(low), float(high)


def card_reference(card: Card, draw: Callable[[int], Tensor] | None = None) -> Reference | None:
    """Return the reference of a card's model, or None for a card without one.

    Files are read on demand. ``reference.card`` names another card of the same data whose reference
    this one shares; scored samples must then have that card's shape.

    Args:
        card: the model's card.
        draw: ``draw(n)`` gives held-out samples ``(n, *event)`` of a model that can draw its own
            exactly, from a stream that the reference set did not come from; by default, the
            held-out data in the card.

    Raises:
        CardError: the reference was computed with another extractor than the card's present one;
            and, when it is needed, a file that does not match the card.
    """
    if not card.reference:
        return None
    if other := card.reference.get("card"):
        shared = card_reference(load_card(other))
        return None if shared is None else shared.of_another_model()
    extractor = extractor_of(card)
    if card.reference["extractor"] != extractor.identity:
        raise CardError(
            f"{card.name}: {REFERENCE} holds features of {card.reference['extractor']}, "
            f"but the extractor is now {extractor.identity}; "
            f"run python -m samplerbench_studies.training.reference {card.name} in a checkout "
            "of samplerbench"
        )

    def statistics() -> Statistics:
        tensors = card.tensors(REFERENCE)

        def held_out(n: int) -> FloatArray:
            return (
                tensors["held_out"][:n].double().numpy()
                if draw is None
                else clamped_features(card, draw(n))
            )

        converged = (
            card.tensors(CONVERGED)["features"].double().numpy()
            if CONVERGED in card.files
            else None
        )
        return Statistics(tensors["mean"].numpy(), tensors["cov"].numpy(), held_out, converged)

    return Reference(
        extractor=extractor,
        n=int(card.reference["n"]),
        identity=f"{card.data['name']}-{card.reference['set']}-{card.files[REFERENCE].sha256[:16]}-{extractor.identity}",
        make=statistics,
        clamp=value_range(card),
    )
