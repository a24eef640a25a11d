"""The sixteen questions of the page, in order, those without a measurement included."""

from __future__ import annotations

from typing import NamedTuple


class ToCome(NamedTuple):
    """A question that no row measures yet.

    Attributes:
        number: its place.
        question: its title.
        claim: what is often said.
    """

    number: int
    question: str
    claim: str


ROWS = 16
TO_COME = (
    ToCome(
        7,
        "Is it a matter of stability?",
        "With one big step the noise acts as a key and the image as the value, so the "
        "model memorises.",
    ),
    ToCome(
        9,
        "Did denoising autoencoders not do this long ago?",
        "A denoising autoencoder removes all noise at once, and has existed for long.",
    ),
    ToCome(
        10,
        "Where did the many steps come from?",
        "The earliest schedule erases a constant fraction 1/T of the signal a step "
        "(arXiv:1503.03585).",
    ),
    ToCome(
        11,
        "Why are schedules not learned?",
        "Schedules are set by a search over hyperparameters rather than by gradient.",
    ),
    ToCome(14, "Why in a latent space?", "Latents instead of pixels make the same steps cheaper."),
    ToCome(
        15,
        "Can a network learn to jump?",
        "A model could invert many steps in a single go, but it would have to be a "
        "generative model of its own.",
    ),
)


def to_come(measured: set[int]) -> list[ToCome]:
    """The questions that no row measures yet."""
    return [row for row in TO_COME if row.number not in measured]
