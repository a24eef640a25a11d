"""The answer in five sentences, at the top of the page: each rests on verdicts of rows, and is told
only where these are what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .measuring.row import Answer, Kind

TRUE: tuple[Kind, ...] = ("supports", "refines")


class Part(NamedTuple):
    """A part of the answer, and the rows that are about it.

    Attributes:
        title: what it is about, as a heading of the list of rows.
        sentence: for somebody who knows none of the words, as HTML.
        rests: rows that it rests on, each with the verdicts on its claim under which the sentence
            is true.
        rows: all rows that are about it.
    """

    title: str
    sentence: str
    rests: Mapping[int, tuple[Kind, ...]]
    rows: tuple[int, ...]

    def holds(self, answers: Mapping[int, Answer]) -> bool:
        """Whether the rows that it rests on are measured, and found what it says."""
        return all(
            number in answers and answers[number].verdict.kind in kinds
            for number, kinds in self.rests.items()
        )


PARTS = (
    Part(
        "The prediction is an average",
        "Because from pure noise <strong>the best prediction is no image but an average</strong>: "
        "of all the images that the noise might still become, which is a blur, and nearly the same "
        "blur for every noise.",
        {1: TRUE},
        (1, 6, 16),
    ),
    Part(
        "Small steps decide",
        "A small step takes away a little noise, which settles a little of what the image will be, "
        "so that the next prediction is an average of fewer images, and sharper: the jump skips "
        "all that.",
        {2: TRUE},
        (2, 13),
    ),
    Part(
        "What a big step loses",
        "A big step goes on with an old prediction, and what it loses by that can be computed, "
        "with added noise and without: many small steps lose little, as with any differential "
        "equation.",
        {3: TRUE, 8: TRUE},
        (3, 4, 5, 7, 8),
    ),
    Part(
        "What makes steps cheaper or fewer",
        "Latents make the steps cheaper, it matters where they are placed, and other damage than "
        "noise needs many of them too: nothing of this makes one enough.",
        {10: TRUE, 12: TRUE, 14: TRUE},
        (9, 10, 11, 12, 14),
    ),
    Part(
        "A network that jumps",
        "A second network can be taught to jump: it learns from the many steps of the first where "
        "they end, and predicts that in place of the average.",
        {15: TRUE},
        (15,),
    ),
)
