"""Print of an answer in a terminal, readable at 80 columns and without colour, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ...results.escaping import escape_markdown, strip_control_characters
from ...results.text import format_number, markdown_table, without_empty_columns
from .answer import Advice, Best
from .exports import language, title
from .sentences import headline_budget
from .wording import TableRow, number_with_noun, own_solver, shown_library, table_rows

TONES = {"closer": "bold green", "farther": "bold red", "open": "dim"}
"""Styles of the verdicts."""
INDENT = 4


def print_advice(advice: Advice, console: Console) -> None:
    """Print the answer: sentences, the table, and the lines to paste at the budget of the headline.

    Nothing is cut, and no name or number is broken.
    """
    for place, sentence in enumerate(advice.sentences):
        console.print(Text(strip_control_characters(sentence), style="" if place else "bold"))
    console.print()
    rows, library = table_rows(advice), shown_library(advice.budgets, advice.library)
    heading = (
        f"{'evaluations':>{_printed_width(rows)}}  in {title(library)}, and beside what you use now"
    )
    _print_line(console, Text(heading, style="dim"))
    for row in rows:
        _print_row(row, rows, console)
    if advice.undecided:
        console.print()
        for item in advice.undecided:
            console.print(Text(strip_control_characters(f"Not decided: {item}")))
    budget = headline_budget(advice.budgets, advice.library)
    best = budget.best.get(library)
    if best is not None:
        console.print()
        _print_lines_to_paste(best, budget.nfe, console)
    console.print()
    console.print(Text(_describe_measurement(advice), style="dim"))


def _printed_width(rows: Iterable[TableRow]) -> int:
    return max(len("evaluations"), *(len(str(row.nfe)) for row in rows))


def _print_row(row: TableRow, rows: list[TableRow], console: Console) -> None:
    """Print the recommendation, its comparison next to it or below, and the rest in whole pieces."""
    width = _printed_width(rows)
    label, now = strip_control_characters(row.use), strip_control_characters(row.now.text)
    first = Text(f"{row.nfe:>{width}}  ").append(label, style="bold")
    comparison = Text(now, style=TONES[row.now.tone])
    names = max(cell_len(strip_control_characters(item.use)) for item in rows)
    texts = max(cell_len(strip_control_characters(item.now.text)) for item in rows)
    fits = width + 2 + names + 2 + texts <= console.width
    if fits:
        first.append(" " * (names + 2 - cell_len(label))).append_text(comparison)
    _print_line(console, first)
    rest = [
        (row.now.detail, row.now.detail),
        (row.error.text, f"error {row.error.whole}"),
        (row.best.text, f"{'' if row.is_best else 'beside the best tried: '}{row.best.whole}"),
        (
            row.beside_own_solvers.text,
            f"beside its own at their defaults: {row.beside_own_solvers.whole}",
        ),
        (row.ms.text, row.ms._replace(text=f"{row.ms.text} ms").whole),
        (row.tied, f"tied with {number_with_noun(len(row.tied), 'other')}"),
        (row.nearer.text, f"nearer in distribution: {row.nearer.whole}"),
    ]
    pieces = [Text(strip_control_characters(text), style="dim") for exists, text in rest if exists]
    _print_pieces(pieces if fits or not now else [comparison, *pieces], width + 2, console)


def _print_pieces(pieces: list[Text], indent: int, console: Console) -> None:
    """Print pieces, as many in a line as fit whole; one longer than a line is wrapped at its spaces."""
    line = Text(" " * indent)
    for place, piece in enumerate(pieces):
        last = place == len(pieces) - 1
        part = piece if last else piece + Text(";", style=piece.style)
        if line.cell_len > indent and line.cell_len + 1 + part.cell_len > console.width:
            _print_line(console, line)
            line = Text(" " * indent)
        line = (line + Text(" ") if line.cell_len > indent else line) + part
        if line.cell_len > console.width:
            *whole, rest = _wrap(line.plain.strip(), console.width - indent)
            for word in whole:
                _print_line(console, Text(" " * indent).append(word, style=piece.style))
            line = Text(" " * indent).append(rest, style=piece.style)
    if line.cell_len > indent:
        _print_line(console, line)


def _wrap(words: str, width: int) -> list[str]:
    """Return lines of whole words, an interval being one; a word longer than a line has its own."""
    lines = [""]
    for word in re.findall(r"\[[^\[\]]*\]\S*|\S+", words):
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and cell_len(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _print_line(console: Console, text: Text) -> None:
    """Print a line as it is, without line breaks of ours."""
    console.print(text, soft_wrap=True)


def _print_lines_to_paste(best: Best, nfe: int, console: Console) -> None:
    console.print(
        Text(
            f"For {title(best.library)}, with {number_with_noun(nfe, 'evaluation')}:", style="bold"
        )
    )
    if best.lines.code:
        console.print()
        _print_line(
            console,
            Text(
                "\n".join(
                    " " * INDENT + strip_control_characters(line)
                    for line in best.lines.code.splitlines()
                )
            ),
        )
        console.print()
    for remark in (best.lines.remark, own_solver(best)):
        if remark:
            console.print(Text(strip_control_characters(remark), style="dim"))


def _describe_measurement(advice: Advice) -> str:
    exact = (
        f"known to {format_number(advice.resolution, 2)}"
        if advice.resolution
        else "which are known exactly"
    )
    return (
        "Errors are geometric means of the distance per dimension to the converged samples of the same "
        f"latents, {exact}, on {number_with_noun(advice.scored_on, 'latent')} that chose nothing, with 95 % "
        f"intervals; no FID. It took {format_number(advice.minutes[0], 2)} minutes on "
        f"{strip_control_characters(advice.device)}."
    )


def markdown(advice: Advice) -> str:
    """Return the answer as Markdown: the same sentences and table, and the library's lines to paste."""
    rows, library = table_rows(advice), shown_library(advice.budgets, advice.library)
    columns = {
        "evaluations": [row.nfe for row in rows],
        f"use, in {title(library)}": [row.use for row in rows],
        "beside now": [row.now.whole for row in rows],
        "error [95 %]": [row.error.whole for row in rows],
        "beside the best tried": [row.best.whole for row in rows],
        "beside its own at their defaults": [row.beside_own_solvers.whole for row in rows],
        "ms a sample": [row.ms.whole for row in rows],
        "tied with": [len(row.tied) or "" for row in rows],
        "nearer in distribution": [row.nearer.whole for row in rows],
    }
    header, body = without_empty_columns(
        tuple(columns), list(map(list, zip(*columns.values(), strict=True)))
    )
    parts = [
        f"## Which sampler for {escape_markdown(advice.model)}",
        *(f"**{escape_markdown(item)}**" for item in advice.sentences[:1]),
        markdown_table(header, body).rstrip(),
        "\n".join(f"* {escape_markdown(item)}" for item in advice.sentences[1:]),
        *_markdown_to_paste(advice),
        "\n".join(f"* Not decided: {escape_markdown(item)}" for item in advice.undecided),
        escape_markdown(_describe_measurement(advice)),
        _fence(advice.command, "sh"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_to_paste(advice: Advice) -> list[str]:
    lines, library = [], shown_library(advice.budgets, advice.library)
    for budget in advice.budgets:
        best = budget.best.get(library)
        if best is None:
            continue
        lines.append(
            f"With {number_with_noun(budget.nfe, 'evaluation')}, in {title(best.library)}:"
        )
        if best.lines.code:
            printable_code = "\n".join(map(strip_control_characters, best.lines.code.splitlines()))
            lines.append(_fence(printable_code, language(best.library)))
        lines += [escape_markdown(item) for item in (best.lines.remark, own_solver(best)) if item]
    return lines


def _fence(code: str, language: str) -> str:
    """Return a block of code, fenced by more backticks than it has."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"
