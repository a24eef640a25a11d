"""The answer in five points at the top of the page. Each rests on verdicts of rows, and is shown only
where these support it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .measuring.row import Answer, Kind

TRUE: tuple[Kind, ...] = ("supports", "refines")


class Part(NamedTuple):
    """A part of the answer, and the rows that are about it.

    Attributes:
        title: its subject, shown as a question where it does not hold.
        sentence: for somebody who knows none of the words, as HTML.
        rests: rows that it rests on, each with the verdicts on its claim under which the sentence
            is true.
    """

    title: str
    sentence: str
    rests: Mapping[int, tuple[Kind, ...]]

    def holds(self, answers: Mapping[int, Answer]) -> bool:
        """Whether the rows that it rests on are measured, and found what it says."""
        return all(
            number in answers and answers[number].verdict.kind in kinds
            for number, kinds in self.rests.items()
        )


PARTS = (
    Part(
        "The prediction is an average",
        "Because from pure noise <strong>the best prediction is not an image but an "
        "average</strong> of all the images that the noise might still become. That average is a "
        "blur, and nearly the same blur for every noise.",
        {1: TRUE},
    ),
    Part(
        "Small steps decide",
        "A small step takes away a little noise, and so settles a little of what the image will be. "
        "The next prediction is then an average of fewer images, and sharper. A jump skips "
        "all of these small decisions.",
        {2: TRUE},
    ),
    Part(
        "What a big step loses",
        "A big step keeps using an outdated prediction. What that costs can be computed, and many "
        "small steps cost little.",
        {3: TRUE, 8: TRUE},
    ),
    Part(
        "What makes steps cheaper or fewer",
        "Working on compressed images makes each step cheaper, and it matters where the steps are "
        "placed. Damage other than noise takes many steps too. None of this makes one step enough.",
        {10: TRUE, 12: TRUE, 14: TRUE},
    ),
    Part(
        "A network that jumps",
        "A second network can be taught to jump. It learns where the many steps of the first one "
        "end, and predicts that end in place of the average.",
        {15: TRUE},
    ),
)
