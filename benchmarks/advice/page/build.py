"""An answer as one self-contained HTML file: it needs no other, and forbids itself the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ....results import report
from ....results.escaping import printable
from ....results.run_directory.disk.files import write_text
from ....results.text import format_number
from ..answer import Advice, Best, Budget
from ..answer.pictures import Pictures
from ..sentences import leading
from ..table import Cell, audience, row, table, title
from ..wording import counted, own_solver
from .facts import facts, flat
from .gallery import gallery
from .plot import css, plots, words

TEMPLATES = (Path(__file__).parent / "templates", Path(next(iter(report.__path__))) / "templates")
"""This page's own, and the stylesheets that it shares with reports."""


def write_page(advice: Advice, pictures: Pictures | None, path: Path) -> Path:
    """Write the page, atomically.

    Args:
        advice: the answer.
        pictures: what samplers made of the same latents; None where there are none.
        path: where to.

    Returns:
        ``path``.
    """
    write_text(path, render(advice, pictures))
    return path


def render(advice: Advice, pictures: Pictures | None) -> str:
    """Return the page as text; a pure function of the answer."""
    rows, library = table(advice), audience(advice.budgets, advice.library)
    drawn = plots(advice)
    first = leading(advice.budgets, advice.library)
    return (
        _environment()
        .get_template("advice.html")
        .render(
            advice=advice,
            library=title(library),
            headline=advice.sentences[0] if advice.sentences else "What was measured",
            follows=advice.sentences[1:],
            rows=rows,
            timed=any(row.ms.text for row in rows),
            tied=any(row.tied for row in rows),
            nearer=any(row.nearer.text for row in rows),
            first=first.nfe,
            gallery=gallery(advice, pictures),
            beside_own_solvers=any(row.beside_own_solvers.text for row in rows),
            plots=[Markup(plot) for plot in drawn] if drawn else [],
            plot_words=words(advice),
            libraries=pastes(advice),
            open=open_questions(advice),
            facts=facts(advice),
            provenance=flat(advice.provenance),
            colours=Markup(css()),
            resolution=format_number(advice.resolution, 2),
            most_latents=max(budget.latents for budget in advice.budgets),
            tried=sum(budget.tried for budget in advice.budgets),
        )
    )


@dataclass(frozen=True)
class Paste:
    """Lines to paste at one budget.

    Attributes:
        nfe: the budget.
        label: of the recommendation.
        now: how it compares with what is used now.
        best: how it compares with the best that was tried.
        is_best: whether it is the best that was tried.
        code: lines; "" where there are none.
        remark: what is to be known about them.
        levels: noise levels of the recommendation.
        own: what is said of the library's own solvers; "" where the recommendation is one.
        own_code: its lines.
    """

    nfe: int
    label: str
    now: Cell
    best: Cell
    is_best: bool
    code: str
    remark: str
    levels: tuple[str, ...]
    own: str
    own_code: str


def pastes(advice: Advice) -> list[tuple[str, str, list[Paste]]]:
    """Return each library's name, title and lines by budget, the table's library first."""
    names = [
        audience(advice.budgets, advice.library),
        *(name for budget in advice.budgets for name in budget.best),
    ]
    result = []
    for name in dict.fromkeys(names):
        some = [(budget, best) for budget in advice.budgets if (best := budget.best.get(name))]
        if some:
            result.append((name, title(name), [_paste(*pair) for pair in some]))
    return result


def _paste(budget: Budget, best: Best) -> Paste:
    texts = row(budget, best.library)
    return Paste(
        budget.nfe,
        texts.use,
        texts.now,
        texts.best,
        texts.is_best,
        best.lines.code,
        best.lines.remark,
        tuple(format_number(level, 5) for level in best.choice.levels),
        own_solver(best),
        best.own_lines.code if best.own_lines else "",
    )


def open_questions(advice: Advice) -> list[str]:
    """Return the open questions of the whole answer, then budget by budget."""
    at = [
        f"With {counted(budget.nfe, 'evaluation')}: {budget.undecided}"
        for budget in advice.budgets
        if budget.undecided
        and not any(budget.undecided in sentence for sentence in advice.undecided)
    ]
    return [*advice.undecided, *at]


def unbroken(words: str) -> str:
    """Return text in which neither an interval nor what belongs to a number goes to another line."""
    text = re.sub(r"\[[^\[\]]*\]", lambda match: match[0].replace(" ", "\u00a0"), words)
    return re.sub(r"(?<=\d) ([×%])|(?<=×) (?=\w)", lambda match: f"\u00a0{match[1] or ''}", text)


def _make_printable(value: Any) -> Any:
    """Return a text without control characters and invisible letters; markup stays."""
    return printable(value) if type(value) is str else value


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(list(map(str, TEMPLATES))),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_make_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment
