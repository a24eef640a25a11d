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
            "figures": [(Markup(one.svg), one.alt, Markup(one.caption)) for one in (answer.figure, *answer.images)],
            "verdict": Markup(_minus(answer.verdict.sentence)),
            "details": Markup(answer.details),
            "head": _head(answer.table),
            "body": [[_cell(value) for value in line] for line in _lines(answer.table)],
        }
    return section


def _minus(text: str) -> str:
    """The sign of negative numbers as it is printed, no hyphen."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def _head(table: pd.DataFrame) -> list[str]:
    return [*([str(table.index.name)] if table.index.name else []), *map(str, table.columns)]


def _lines(table: pd.DataFrame) -> list[list[Any]]:
    return [list(line) for line in table.itertuples(index=bool(table.index.name), name=None)]


def _cell(value: Any) -> str:
    """A value of a table, for people."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return _minus(f"{value:,.4g}" if isinstance(value, float) else str(value))


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(list(map(str, TEMPLATES))), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
