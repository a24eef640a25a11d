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
    """The page as text; a pure function of the answer."""
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
            timed=any(one.ms.text for one in rows),
            tied=any(one.tied for one in rows),
            nearer=any(one.nearer.text for one in rows),
            first=first.nfe,
            gallery=gallery(advice, pictures),
            beside_own_solvers=any(one.beside_own_solvers.text for one in rows),
            plots=[Markup(one) for one in drawn] if drawn else [],
            plot_words=words(advice),
            libraries=pastes(advice),
            open=open_questions(advice),
            facts=facts(advice),
            provenance=flat(advice.provenance),
            colours=Markup(css()),
            resolution=format_number(advice.resolution, 2),
            most_latents=max(one.latents for one in advice.budgets),
            tried=sum(one.tried for one in advice.budgets),
        )
    )


@dataclass(frozen=True)
class Paste:
    """What to paste at one budget.

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
    """For each library its name, title and lines by budget; the one that the table is for comes first."""
    names = [
        audience(advice.budgets, advice.library),
        *(name for budget in advice.budgets for name in budget.best),
    ]
    found = []
    for name in dict.fromkeys(names):
        some = [(budget, best) for budget in advice.budgets if (best := budget.best.get(name))]
        if some:
            found.append((name, title(name), [_paste(*one) for one in some]))
    return found


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
    """What was not decided: of the whole answer, then budget by budget."""
    at = [
        f"With {counted(budget.nfe, 'evaluation')}: {budget.undecided}"
        for budget in advice.budgets
        if budget.undecided and not any(budget.undecided in one for one in advice.undecided)
    ]
    return [*advice.undecided, *at]


def unbroken(words: str) -> str:
    """Text in which neither an interval nor what belongs to a number goes to another line."""
    kept = re.sub(r"\[[^\[\]]*\]", lambda found: found[0].replace(" ", "\u00a0"), words)
    return re.sub(r"(?<=\d) ([×%])|(?<=×) (?=\w)", lambda found: f"\u00a0{found[1] or ''}", kept)


def _shown(value: Any) -> Any:
    """Texts without control characters and letters that nobody sees; what is markup stays."""
    return printable(value) if type(value) is str else value


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(list(map(str, TEMPLATES))),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment
