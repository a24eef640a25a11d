"""Types of a row of the page: claim, measurement, and a verdict computed from the measurement."""

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
    """Self-contained picture, made by :func:`..figures.drawing.figure`.

    Attributes:
        svg: ``<svg>`` element with unique ids and colours of the page's theme.
        alt: description for those who cannot see it.
        caption: a sentence or two below it, as HTML.
        words: all text in it, so that its terms can be introduced before it.
    """

    svg: str
    alt: str
    caption: str
    words: str = ""


@dataclass(frozen=True)
class Verdict:
    """Verdict of a measurement on the claim.

    Attributes:
        kind: kind of the verdict, of :data:`Kind`.
        sentence: reason in one plain sentence, as HTML.
        numbers: supporting values with intervals, a line of HTML each, which the page folds.
        surprise: sentence on an unexpected finding, shown beside the verdict; "" for none.
    """

    kind: Kind
    sentence: str
    numbers: tuple[str, ...] = ()
    surprise: str = ""


@dataclass(frozen=True)
class Answer:
    """Content of the page for a row.

    Attributes:
        figure: main figure.
        table: small table.
        verdict: verdict computed from the measurement.
        details: method of the measurement, derivations and limits, as HTML, which the page folds.
        images: further figures.
        more: figures folded together with the numbers.
        keys: number of columns from the left that identify a line of the table; the others are
            results.
        opening: picture at the top of the page, or None.
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
    """Question of the page, with its measurement and answer.

    The measurement takes minutes and is stored on disk. The answer takes a second and is not
    stored. They are in different modules: only an edit of the module of ``measure``, or of a module
    of this study that it imports, causes a new measurement of the row.

    Attributes:
        number: number of the row on the page, 1 to 16.
        question: title of the row, a question.
        claim: common claim in plain words.
        measure: pure function of the effort, with a declared return type that :mod:`..packing` can
            store.
        answer: pure function of a measurement to figures, table and verdict.
    """

    number: int
    question: str
    claim: str
    measure: Callable[[Effort], M]
    answer: Callable[[M], Answer]

    def __call__(self, effort: Effort) -> Answer:
        """Measure and answer, ignoring stored measurements."""
        return self.answer(self.measure(effort))
