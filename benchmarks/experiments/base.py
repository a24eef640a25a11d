"""What a row of the answer is: a claim in plain words, a measurement, and a verdict that is computed from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal, Protocol

import pandas as pd

from ...models import Denoiser, make_model

Kind = Literal["supports", "refines", "refutes", "inconclusive"]
FAST_SHARE, FAST_LEAST = 8, 64


@dataclass(frozen=True)
class Figure:
    """A picture that can be understood alone; :func:`.drawing.figure` makes one.

    Attributes:
        svg: an ``<svg>`` element whose ids are its own and whose colours follow the page's theme.
        alt: what it shows, for those who do not see it.
        caption: a sentence or two below it, as HTML.
    """

    svg: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Verdict:
    """What the measurement says about the claim.

    Attributes:
        kind: one of :data:`Kind`.
        sentence: why, with its numbers and interval, as HTML.
    """

    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Answer:
    """What a row found.

    Attributes:
        figure: the figure.
        table: a small table; its index is shown only if it has a name.
        verdict: computed from the measurement.
        details: how it was measured, derivations and limits, as HTML; it is folded away.
        images: further figures.
    """

    figure: Figure
    table: pd.DataFrame
    verdict: Verdict
    details: str
    images: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Effort:
    """How much to measure, and on what.

    Attributes:
        name: ``fast`` or ``full``.
        out: folder where answers are kept, so that an interrupted run goes on where it was; None keeps nothing.
        models: models that stand in for the built-in ones, by the name that they replace.

    Raises:
        ValueError: another name.
    """

    name: Literal["fast", "full"] = "full"
    out: Path | None = None
    models: Mapping[str, Denoiser] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ("fast", "full"):
            raise ValueError(f"the effort is 'fast' or 'full', not {self.name!r}")

    @property
    def fast(self) -> bool:
        """Whether it is the small one."""
        return self.name == "fast"

    def samples(self, full: int, least: int = FAST_LEAST) -> int:
        """``full`` samples, or an eighth of them but not fewer than ``least`` (and never more than ``full``)."""
        return min(full, max(least, full // FAST_SHARE)) if self.fast else full

    def model(self, name: str, **params: Any) -> Denoiser:
        """The model of that name, or what stands in for it."""
        return self.models[name] if name in self.models else make_model(name, **params)


class Row(Protocol):
    """One question and its measurement.

    Attributes:
        number: 1 to 16, its place in the answer.
        question: the title, a question.
        claim: what is often said, in plain words.
    """

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def question(self) -> str: ...  # noqa: D102
    @property
    def claim(self) -> str: ...  # noqa: D102

    def __call__(self, effort: Effort) -> Answer:
        """Measure, draw and judge; a pure function of the effort."""
        ...


def rows() -> dict[int, Row]:
    """The rows that exist, by number: ``ROW`` of each module ``row_NN_slug`` of this folder."""
    names = sorted(module.name for module in iter_modules([str(Path(__file__).parent)]) if re.fullmatch(r"row_\d\d_\w+", module.name))
    found: list[Row] = [import_module(f".{name}", __package__).ROW for name in names]
    return {row.number: row for row in found}
