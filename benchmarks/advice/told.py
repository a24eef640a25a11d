"""An answer in a terminal, readable at 80 columns and without colour, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ...results.escaping import escape_markdown, printable
from ...results.text import filled, format_number, markdown_table
from .answer import Advice, Best
from .sentences import leading
from .table import Row, audience, table, title
from .wording import counted, own_solver

TONES = {"closer": "bold green", "farther": "bold red", "open": "dim"}
"""Styles of what intervals show."""
INDENT = 4


def tell(advice: Advice, console: Console) -> None:
    """Print the answer: what follows, the table, and the lines to paste at the budget that the
    first sentence is about.

    Nothing is cut, and no name or number is broken.

    Args:
        advice: the answer.
        console: where to.
    """
    for place, sentence in enumerate(advice.sentences):
        console.print(Text(printable(sentence), style="" if place else "bold"))
    console.print()
    rows, library = table(advice), audience(advice.budgets, advice.library)
    heading = f"{'evaluations':>{_width(rows)}}  in {title(library)}, and beside what you use now"
    _line(console, Text(heading, style="dim"))
    for row in rows:
        _row(row, rows, console)
    if advice.undecided:
        console.print()
        for one in advice.undecided:
            console.print(Text(printable(f"Not decided: {one}")))
    budget = leading(advice.budgets, advice.library)
    best = budget.best.get(library)
    if best is not None:
        console.print()
        _lines(best, budget.nfe, console)
    console.print()
    console.print(Text(_measured(advice), style="dim"))


def _width(rows: Iterable[Row]) -> int:
    return max(len("evaluations"), *(len(str(row.nfe)) for row in rows))


def _row(row: Row, rows: list[Row], console: Console) -> None:
    """The recommendation, how it compares beside it or below, and the rest in whole pieces."""
    width = _width(rows)
    label, now = printable(row.use), printable(row.now.text)
    first = Text(f"{row.nfe:>{width}}  ").append(label, style="bold")
    beside = Text(now, style=TONES[row.now.tone])
    names = max(cell_len(printable(one.use)) for one in rows)
    texts = max(cell_len(printable(one.now.text)) for one in rows)
    fits = width + 2 + names + 2 + texts <= console.width
    if fits:
        first.append(" " * (names + 2 - cell_len(label))).append_text(beside)
    _line(console, first)
    known, ms = row.best.whole, row.ms._replace(text=f"{row.ms.text} ms")
    rest = [
        row.now.detail,
        f"error {row.error.whole}" if row.error.text else "",
        f"beside the best tried: {known}" if known and not row.is_best else known,
        f"beside its own at their defaults: {row.beside_own_solvers.whole}"
        if row.beside_own_solvers.text
        else "",
        ms.whole if row.ms.text else "",
        f"tied with {counted(len(row.tied), 'other')}" if row.tied else "",
        f"nearer in distribution: {row.nearer.whole}" if row.nearer.text else "",
    ]
    pieces = [Text(printable(one), style="dim") for one in rest if one]
    _pieces(pieces if fits or not now else [beside, *pieces], width + 2, console)


def _pieces(pieces: list[Text], indent: int, console: Console) -> None:
    """Pieces one after the other, as many in a line as fit whole; one that is longer than a line
    is wrapped at its spaces.
    """
    line = Text(" " * indent)
    for place, piece in enumerate(pieces):
        last = place == len(pieces) - 1
        part = piece if last else piece + Text(";", style=piece.style)
        if line.cell_len > indent and line.cell_len + 1 + part.cell_len > console.width:
            _line(console, line)
            line = Text(" " * indent)
        line = (line + Text(" ") if line.cell_len > indent else line) + part
        if line.cell_len > console.width:
            *whole, rest = _wrapped(line.plain.strip(), console.width - indent)
            for one in whole:
                _line(console, Text(" " * indent).append(one, style=piece.style))
            line = Text(" " * indent).append(rest, style=piece.style)
    if line.cell_len > indent:
        _line(console, line)


def _wrapped(words: str, width: int) -> list[str]:
    """Lines of whole words, intervals being one; a word that is longer than a line has its own."""
    found = [""]
    for word in re.findall(r"\[[^\[\]]*\]\S*|\S+", words):
        joined = f"{found[-1]} {word}".strip()
        if found[-1] and cell_len(joined) > width:
            found.append(word)
        else:
            found[-1] = joined
    return found


def _line(console: Console, text: Text) -> None:
    """A line as it is, without line breaks of ours."""
    console.print(text, soft_wrap=True)


def _lines(best: Best, nfe: int, console: Console) -> None:
    """The lines to paste, as they are."""
    console.print(
        Text(f"For {title(best.library)}, with {counted(nfe, 'evaluation')}:", style="bold")
    )
    if best.lines.code:
        console.print()
        _line(console, Text("\n".join(" " * INDENT + one for one in _code(best))))
        console.print()
    for remark in (best.lines.remark, own_solver(best)):
        if remark:
            console.print(Text(printable(remark), style="dim"))


def _code(best: Best) -> list[str]:
    return [printable(one) for one in best.lines.code.splitlines()]


def _measured(advice: Advice) -> str:
    """How it was measured, in two sentences."""
    exact = (
        f"known to {format_number(advice.resolution, 2)}"
        if advice.resolution
        else "which are known exactly"
    )
    return (
        "Errors are geometric means of the distance per dimension to the converged samples of the same "
        f"latents, {exact}, on {counted(advice.scored_on, 'latent')} that chose nothing, with 95 % "
        f"intervals; no FID. It took {format_number(advice.minutes[0], 2)} minutes on "
        f"{printable(advice.device)}."
    )


def markdown(advice: Advice) -> str:
    """The answer as Markdown, for a README or an issue: the same sentences and table, and the lines
    to paste for the library asked for.
    """
    rows, library = table(advice), audience(advice.budgets, advice.library)
    header, body = filled(
        (
            "evaluations", f"use, in {title(library)}", "beside now", "error [95 %]",
            "beside the best tried", "beside its own at their defaults", "ms a sample", "tied with", "nearer in distribution",
        ),
        [
            [
                row.nfe, row.use, row.now.whole, row.error.whole, row.best.whole,
                row.beside_own_solvers.whole, row.ms.whole,
                len(row.tied) or "", row.nearer.whole,
            ]
            for row in rows
        ],
    )  # fmt: skip
    parts = [
        f"## Which sampler for {escape_markdown(advice.model)}",
        *(f"**{escape_markdown(one)}**" for one in advice.sentences[:1]),
        markdown_table(header, body).rstrip(),
        "\n".join(f"* {escape_markdown(one)}" for one in advice.sentences[1:]),
        *_markdown_lines(advice),
        "\n".join(f"* Not decided: {escape_markdown(one)}" for one in advice.undecided),
        escape_markdown(_measured(advice)),
        _fenced(advice.command, "sh"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_lines(advice: Advice) -> list[str]:
    """The lines to paste at each budget."""
    found, library = [], audience(advice.budgets, advice.library)
    for budget in advice.budgets:
        best = budget.best.get(library)
        if best is None:
            continue
        found.append(f"With {counted(budget.nfe, 'evaluation')}, in {title(best.library)}:")
        if best.lines.code:
            found.append(_fenced("\n".join(_code(best)), _language(best)))
        found += [escape_markdown(one) for one in (best.lines.remark, own_solver(best)) if one]
    return found


def _language(best: Best) -> str:
    return "text" if best.library == "comfyui" else "python"


def _fenced(code: str, language: str) -> str:
    """A block of code, fenced by more backticks than it has."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"
