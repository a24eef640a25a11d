"""An answer as one self-contained HTML file: it needs no other, and forbids itself the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ....results import report
from ....results.escaping import printable
from ....results.report.drawing import data_uri, side_by_side, with_alpha
from ....results.run_directory.disk.files import write_text
from ....results.text import format_number
from ..answer import Advice, Best, Budget
from ..answer.pictures import Pictures, Pictures8
from ..sentences import leading
from ..table import Cell, audience, row, table, title
from ..wording import counted, evaluations, own_solver, same
from .plot import css, plots, words

LARGEST = 192
"""Pixels of a side that a picture on the page has at most; larger ones are averaged over squares."""
PIXELATED = 96
"""Sides below this are shown with their pixels, and not smoothed."""


@dataclass(frozen=True)
class Strip:
    """Pictures side by side.

    Attributes:
        image: a data URI; "" if there are none.
        name: which they are, in a word or two.
        label: what made them.
        alt: what they show, or why there are none.
    """

    image: str
    name: str
    label: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """All strips.

    Attributes:
        pairs: by budget, what is used now and the recommendation.
        converged: where the latents lead.
        pixels: whether their pixels are to be seen.
        count: pictures in a strip.
        shrunk: how many times smaller than the samples they are.
    """

    pairs: dict[int, tuple[Strip, Strip]]
    converged: Strip
    pixels: bool
    count: int
    shrunk: int


def gallery(advice: Advice, pictures: Pictures | None) -> Gallery | None:
    """Return the strips of an answer; None where there are no pictures."""
    if pictures is None or not len(pictures.converged):
        return None
    count = len(pictures.converged)
    side = max(pictures.converged.shape[1:3])
    converged = Strip(
        strip(pictures.converged),
        "Converged",
        "where these latents lead",
        f"Where {counted(count, 'latent leads', 'latents lead')} when the steps are small enough",
    )
    library = audience(advice.budgets, advice.library)
    pairs = {budget.nfe: _pair(budget, library, pictures) for budget in advice.budgets}
    return Gallery(pairs, converged, side < PIXELATED, count, _factor(side))


def _pair(budget: Budget, library: str, pictures: Pictures) -> tuple[Strip, Strip]:
    default, best = budget.default, budget.best.get(library)
    with_ = f"with {evaluations(budget.nfe)}"
    now = _strip_of(
        pictures.default.get(budget.nfe),
        "Now",
        default.label,
        f"What {default.label} makes of the latents {with_}",
        default.failed,
    )
    if best is None:
        return now, Strip("", "Recommended", "", f"Nothing was found for {title(library)}")
    label = best.choice.label + (", as now" if same(best.choice, default) else "")
    mine = f"What {best.choice.label} makes of the latents {with_}"
    return now, _strip_of(
        pictures.best.get(budget.nfe), "Recommended", label, mine, best.choice.failed
    )


def _strip_of(images: Pictures8 | None, name: str, label: str, alt: str, failed: str) -> Strip:
    if images is None or not len(images):
        return Strip("", name, label, f"It fails: {failed}" if failed else "No pictures were kept")
    return Strip(strip(images), name, label, alt)


def strip(images: Pictures8) -> str:
    """Return pictures ``(n, height, width)`` or ``(n, height, width, 3)`` side by side, as a data URI."""
    channels = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    small = shrunk(channels)
    gap = max(1, round(max(small.shape[2:]) / 28))
    return data_uri(side_by_side(with_alpha(small), len(small), gap))


def shrunk(images: Pictures8) -> Pictures8:
    """Return pictures ``(n, c, height, width)`` of :data:`LARGEST` pixels a side at most: averages over
    squares; what does not fill a square at the edge is left out.
    """
    factor = _factor(max(images.shape[2:]))
    if factor == 1:
        return images
    count, channels, *sides = images.shape
    down, across = (side // factor for side in sides)
    squares = images[:, :, : down * factor, : across * factor].reshape(
        count, channels, down, factor, across, factor
    )
    return np.rint(squares.mean((3, 5))).astype(np.uint8)


def _factor(side: int) -> int:
    return -(-side // LARGEST)


LONG = 12
"""Entries of a mapping that has a line for each, at most."""


def facts(advice: Advice) -> list[tuple[str, str]]:
    """Return facts on how the answer came about, as terms and values."""
    took, limit = advice.minutes
    about = [(key.replace("_", " "), value) for key, value in flat(advice.about)]
    return [
        ("model", advice.model),
        *about,
        ("now", advice.default),
        ("device", advice.device),
        ("time", f"{format_number(took)} minutes of {format_number(limit)} that were given"),
        *(
            [("times", f"per sample, in batches of {advice.timed_batch}")]
            if advice.timed_batch
            else []
        ),
    ]


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return a mapping of anything as names and texts; mappings in it one after the other, and long ones,
    as the versions of all packages, as one text.
    """
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before} {key}".strip()
        if isinstance(value, Mapping) and len(value) > LONG:
            pairs.append((name, ", ".join(f"{item} {_text(of)}" for item, of in value.items())))
        elif isinstance(value, Mapping):
            pairs += flat(value, name)
        elif value is not None and value not in ("", [], ()):
            pairs.append((name, _text(value)))
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        sizes = all(type(item) is int for item in value)
        return (" × " if sizes else " ").join(map(_text, value))
    if isinstance(value, int):
        return f"{value:,}"
    return format_number(value, 5) if isinstance(value, float) else str(value)


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
