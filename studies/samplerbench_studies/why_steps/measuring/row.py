"""The types of a row of the page: a claim in plain words, a measurement, and a verdict that is
computed from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import pandas as pd

from .effort import Effort

Kind = Literal["supports", "refines", "refutes", "inconclusive"]
M = TypeVar("M")


@dataclass(frozen=True)
class Figure:
    """A picture that can be understood alone; :func:`..figures.drawing.figure` makes one.

    Attributes:
        svg: an ``<svg>`` element whose ids are its own and whose colours follow the page's theme.
        alt: what it shows, for those who do not see it.
        caption: a sentence or two below it, as HTML.
        words: all that is written in it, so that its terms can be introduced before it.
    """

    svg: str
    alt: str
    caption: str
    words: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the measurement supports the claim.

    Attributes:
        kind: one of :data:`Kind`.
        sentence: why, in one plain sentence, as HTML.
        numbers: what it rests on, with intervals, a line of HTML each; they are folded away.
        surprise: a sentence on what nobody would have guessed, shown beside the verdict; empty for
            none.
    """

    kind: Kind
    sentence: str
    numbers: tuple[str, ...] = ()
    surprise: str = ""


@dataclass(frozen=True)
class Answer:
    """All that the page shows of a row.

    Attributes:
        figure: the figure.
        table: a small table.
        verdict: computed from the measurement.
        details: how it was measured, derivations and limits, as HTML; it is folded away.
        images: further figures.
        more: figures that are folded away with the numbers.
        keys: how many columns of the table, from the left, say what a line is of; the others are
            what was found.
        opening: the picture at the top of the page, or None.
    """

    figure: Figure
    table: pd.DataFrame
    verdict: Verdict
    details: str
    images: tuple[Figure, ...] = ()
    more: tuple[Figure, ...] = ()
    keys: int = 1
    opening: Figure | None = None


@dataclass(frozen=True)
class Row(Generic[M]):
    """One question, in two halves: the measurement, which takes minutes and is kept on disk, and
    the answer made of it.

    The answer that is made of it takes a second, and is not.

    They live in different modules: an edit of the module of ``measure``, or of what that imports of
    this study, measures the row again, and no other edit of the study does.

    Attributes:
        number: 1 to 16, its place in the answer.
        question: the title, a question.
        claim: what is often said, in plain words.
        measure: a pure function of the effort. The type that it declares to return is one that
            :mod:`..packing` can keep.
        answer: the figures, the table and the verdict of a measurement; a pure function of it.
    """

    number: int
    question: str
    claim: str
    measure: Callable[[Effort], M]
    answer: Callable[[M], Answer]

    def __call__(self, effort: Effort) -> Answer:
        """Measure and answer, whatever is on disk."""
        return self.answer(self.measure(effort))
