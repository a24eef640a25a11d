"""The page of the answer: one HTML file that needs nothing but itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...results import report
from ...results.files import write_text
from .base import Answer, Row, rows
from .drawing import css
from .effort import Effort
from .questions import ToCome, to_come

TEMPLATES = (Path(__file__).parent / "templates", Path(next(iter(report.__path__))) / "templates")
"""This page's own, and the stylesheet that it shares with reports."""

WORDS = {"supports": ("✓", "supported"), "refines": ("≈", "refined"), "refutes": ("✗", "refuted"), "inconclusive": ("?", "inconclusive")}
"""What a verdict makes of its claim, with a sign for those who see no colour."""
NARROW = 3
"""Tables of so many columns are tables on a phone too; wider ones become a card a line there."""


def write_page(path: Path, answers: Mapping[int, Answer], effort: Effort) -> Path:
    """Write the page, atomically.

    Args:
        path: where to.
        answers: by row number; rows without one are listed with the command that measures them.
        effort: that the answers were measured with.
    """
    write_text(path, render(answers, effort))
    return path


def render(answers: Mapping[int, Answer], effort: Effort) -> str:
    """The page as text; a pure function of the answers."""
    known = rows()
    sections = [_section(row, answers.get(number), effort) for number, row in sorted(known.items())]
    coming = to_come(set(known))
    return (
        _environment()
        .get_template("explain.html")
        .render(
            sections=sections,
            coming=coming,
            contents=_contents(answers, coming),
            counts=Counter(answer.verdict.kind for answer in answers.values()),
            words=WORDS,
            colours=Markup(css()),
            effort=effort,
            command=command(effort),
        )
    )


def _contents(answers: Mapping[int, Answer], coming: Sequence[ToCome]) -> list[tuple[int, str, str]]:
    """Number, question and verdict of all rows, in order; in place of a verdict, why there is none."""
    measured = [(n, row.question, answers[n].verdict.kind if n in answers else "not measured here") for n, row in rows().items()]
    return sorted([*measured, *((row.number, row.question, "to come") for row in coming)])


def command(effort: Effort, number: int | None = None) -> str:
    """What reproduces the page, or one of its rows."""
    parts = ["samplerbench explain", *([f"--rows {number}"] if number else []), *(["--fast"] if effort.fast else [])]
    return " ".join([*parts, *(f"--replace {name}={model.name}" for name, model in sorted(effort.models.items()))])


def _section(row: Row, answer: Answer | None, effort: Effort) -> dict[str, Any]:
    section: dict[str, Any] = {"row": row, "answer": answer, "command": command(effort, row.number)}
    if answer is not None:
        section |= {
            "figures": [(Markup(one.svg), one.alt, Markup(_typeset(one.caption))) for one in (answer.figure, *answer.images)],
            "verdict": Markup(_typeset(answer.verdict.sentence)),
            "details": Markup(_typeset(answer.details)),
            "head": list(map(str, answer.table.columns)),
            "body": [[_cell(value) for value in line] for line in answer.table.itertuples(index=False, name=None)],
            "narrow": len(answer.table.columns) <= NARROW,
        }
    return section


def _typeset(text: str) -> str:
    """Numbers as they are printed: a minus and no hyphen, powers of ten, and a percent sign that stays with its number."""
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)(?!\w)", lambda found: f"{found[1]}×10{_raised(int(found[2]))}", text)
    text = re.sub(r"(?<![\w-])-(?=\d)", "−", text)
    return re.sub(r"(?<=\d) ?%", "\u202f%", text)


def _raised(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _cell(value: Any) -> str:
    """A value of a table, for people."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return _typeset(f"{value:,.4g}" if isinstance(value, float) else str(value))


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(list(map(str, TEMPLATES))), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
