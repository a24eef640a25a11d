"""Page with the answers, as one self-contained HTML file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from samplerbench.results.report import template_environment
from samplerbench.results.run_directory import write_text

from .figures.drawing import css
from .glossary import TERMS
from .introductions import Introductions
from .measuring.effort import Effort
from .measuring.row import Answer, Figure, Row
from .opening import PARTS, Part
from .rows import rows

WORDS = {
    "supports": ("✓", "supported"),
    "refines": ("≈", "partly supported"),
    "refutes": ("✗", "refuted"),
    "inconclusive": ("?", "inconclusive"),
}
"""Sign and words for each kind of verdict."""
NARROW = 3
"""Largest number of columns of a table on a phone; each row of a wider table becomes a card."""


def write_page(path: Path, answers: Mapping[int, Answer], effort: Effort) -> Path:
    """Write the page, atomically.

    Args:
        path: path of the page.
        answers: answers by row number; rows without one are listed with the command that measures
            them.
        effort: effort with which the answers were measured.
    """
    write_text(path, render(answers, effort))
    return path


def render(answers: Mapping[int, Answer], effort: Effort) -> str:
    """Return the page as text, a pure function of the answers."""
    known, introduced = rows(), Introductions(TERMS)
    opening = next(
        (answers[n].opening for n in sorted(known) if n in answers and answers[n].opening), None
    )
    told = [part for part in PARTS if part.holds(answers)]
    top = _words(
        introduced, *(part.sentence for part in told), *_read(*([opening] if opening else []))
    )
    sections = [
        _section(row, answers.get(number), effort, introduced)
        for number, row in sorted(known.items())
    ]
    return (
        template_environment(Path(__file__).parent / "templates")
        .get_template("explain.html")
        .render(
            parts=[_part(part, answers) for part in PARTS],
            questions=[
                (
                    number,
                    row.question,
                    answers[number].verdict.kind if number in answers else "not measured here",
                )
                for number, row in sorted(known.items())
            ],
            opening=_shown(opening) if opening else None,
            top=top,
            sections=sections,
            counts=Counter(answer.verdict.kind for answer in answers.values()),
            words=WORDS,
            colours=Markup(css()),
            effort=effort,
            command=command(effort),
        )
    )


def _part(part: Part, answers: Mapping[int, Answer]) -> dict[str, Any]:
    """Return a point of the answer, with None in place of its text if it does not hold."""
    known = rows()
    return {
        "title": part.title,
        "sentence": Markup(part.sentence) if part.holds(answers) else None,
        "rests": [number for number in part.rests if number in known],
    }


def _words(introduced: Introductions, *texts: str) -> list[tuple[Markup, Markup]]:
    """Return the terms that these texts are the first to use, with their meanings."""
    return [(Markup(term.name), Markup(_typeset(term.meaning))) for term in introduced(*texts)]


def _read(*figures: Figure) -> list[str]:
    """Return all text in figures and in their captions."""
    return [text for one in figures for text in (escape(one.words), one.caption)]


def _shown(one: Figure) -> tuple[Markup, str, Markup]:
    return Markup(one.svg), one.alt, Markup(_typeset(one.caption))


def command(effort: Effort, number: int | None = None) -> str:
    """Return the command that reproduces the page, or one of its rows."""
    parts = [
        "samplerbench explain",
        *([f"--rows {number}"] if number else []),
        *(["--fast"] if effort.fast else []),
    ]
    return " ".join(
        [
            *parts,
            *(f"--replace {name}={model.name}" for name, model in sorted(effort.models.items())),
        ]
    )


def _section(
    row: Row, answer: Answer | None, effort: Effort, introduced: Introductions
) -> dict[str, Any]:
    section: dict[str, Any] = {"row": row, "answer": answer, "command": command(effort, row.number)}
    if answer is not None:
        verdict, seen, head = (
            answer.verdict,
            (answer.figure, *answer.images),
            list(map(str, answer.table.columns)),
        )
        keys = answer.table.iloc[:, : answer.keys].astype(str).to_numpy().ravel()
        section |= {
            "words": _words(
                introduced,
                row.question,
                row.claim,
                verdict.sentence,
                verdict.surprise,
                *_read(*seen),
            ),
            "folded_words": _words(
                introduced, *verdict.numbers, *head, *keys, answer.details, *_read(*answer.more)
            ),
            "figures": [_shown(one) for one in seen],
            "more": [_shown(one) for one in answer.more],
            "verdict": Markup(_typeset(verdict.sentence)),
            "surprise": Markup(_typeset(verdict.surprise)),
            "numbers": [Markup(_typeset(line)) for line in verdict.numbers],
            "details": Markup(_typeset(answer.details)),
            "head": head,
            "body": [
                [_cell(value) for value in line]
                for line in answer.table.itertuples(index=False, name=None)
            ],
            "narrow": len(head) <= NARROW,
        }
    return section


def _typeset(text: str) -> str:
    """Return text with typeset numbers: minus signs, powers of ten, and attached percent signs."""
    text = re.sub(
        r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)(?!\w)",
        lambda found: f"{found[1]}×10{_raised(int(found[2]))}",
        text,
    )
    text = re.sub(r"(?<![\w-])-(?=\d)", "−", text)
    return re.sub(r"(?<=\d) ?%", "\u202f%", text)


def _raised(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _cell(value: Any) -> str:
    """Return a value of a table as readable text."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return _typeset(f"{value:,.4g}" if isinstance(value, float) else str(value))
