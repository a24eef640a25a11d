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
        12,
        "Does it have to be noise?",
        "The process works with other ways of removing information than noise: blur, "
        "masks, snow, blending (arXiv:2208.09392).",
    ),
)


def to_come(measured: set[int]) -> list[ToCome]:
    """The questions that no row measures yet."""
    return [row for row in TO_COME if row.number not in measured]
