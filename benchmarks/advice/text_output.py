"""Text of an answer for a terminal, readable at 80 columns and without colour."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ...results.text import format_number, strip_control_characters
from .answer import Advice
from .exports import title
from .sentences import headline_budget
from .wording import TableRow, number_with_noun, shown_library, table_rows

TONES = {"closer": "bold green", "farther": "bold red", "open": "dim"}
"""Text style in the terminal, by verdict."""


def print_advice(advice: Advice, console: Console) -> None:
    """Print sentences, table, open questions, and lines to paste for the budget of the headline."""
    for place, sentence in enumerate(advice.sentences):
        console.print(_safe_text(sentence, "" if place else "bold"))
    console.print()
    library = shown_library(advice.budgets, advice.library)
    _print_table(table_rows(advice), library, console)
    if advice.undecided:
        console.print()
        for item in advice.undecided:
            console.print(_safe_text(f"Not decided: {item}"))
    budget = headline_budget(advice.budgets, advice.library)
    if best := budget.best.get(library):
        console.print()
        evaluations = number_with_noun(budget.nfe, "evaluation")
        console.print(Text(f"For {title(library)}, with {evaluations}:", style="bold"))
        if best.lines.code:
            console.print(Text(f"\n{_printable_code(best.lines.code)}\n"), soft_wrap=True)
        plain = "In plain PyTorch, the same steps are on the page, under k-diffusion."
        for remark in filter(None, (best.lines.remark, budget.pytorch_code(library) and plain)):
            console.print(_safe_text(remark, "dim"))
    console.print()
    console.print(Text(_describe_measurement(advice), style="dim"))


def _safe_text(words: str, style: str = "") -> Text:
    return Text(strip_control_characters(words), style=style)


def _print_table(rows: list[TableRow], library: str, console: Console) -> None:
    """Print each row: recommendation, comparison with the default, then the other columns."""
    width = max(len("evaluations"), *(len(str(row.nfe)) for row in rows))
    names = max(_safe_text(row.recommendation).cell_len for row in rows)
    texts = max(_safe_text(row.versus_default.text).cell_len for row in rows)
    fits = width + 2 + names + 2 + texts <= console.width
    heading = f"{'evaluations':>{width}}  in {title(library)}, and compared with what you use now"
    console.print(Text(heading, style="dim"), soft_wrap=True)
    for row in rows:
        label = _safe_text(row.recommendation, "bold")
        comparison = _safe_text(row.versus_default.text, TONES[row.versus_default.tone])
        first = Text(f"{row.nfe:>{width}}  ") + label
        if fits:
            first = first + Text(" " * (names + 2 - label.cell_len)) + comparison
        console.print(first, soft_wrap=True)
        leader = "" if row.is_best else "compared with the best tried: "
        solvers = "compared with the library's solvers: "
        rest = [
            (row.versus_default.detail, row.versus_default.detail),
            (row.error.text, f"error {row.error.full_text}"),
            (row.best.text, f"{leader}{row.best.full_text}"),
            (row.own_solvers.text, f"{solvers}{row.own_solvers.full_text}"),
            (row.ms.text, row.ms._replace(text=f"{row.ms.text} ms").full_text),
            (row.tied, f"tied with {number_with_noun(len(row.tied), 'other')}"),
            (row.nearest.text, f"nearer in distribution: {row.nearest.full_text}"),
        ]
        pieces = [_safe_text(words, "dim") for exists, words in rest if exists]
        if comparison and not fits:
            pieces.insert(0, comparison)
        _print_pieces(pieces, Text(" " * (width + 2)), console)


def _print_pieces(pieces: list[Text], margin: Text, console: Console) -> None:
    """Print texts one after the other, as many on a line as fit; wrap longer ones at spaces."""
    lines: list[Text] = []
    for place, piece in enumerate(pieces):
        part = piece if place == len(pieces) - 1 else piece + Text(";", style=piece.style)
        if lines and lines[-1].cell_len + 1 + part.cell_len <= console.width:
            lines[-1] = lines[-1] + Text(" ") + part
        elif margin.cell_len + part.cell_len <= console.width:
            lines.append(margin + part)
        else:
            wrapped = _wrap(part.plain, console.width - margin.cell_len)
            lines += [margin + Text(words, style=piece.style) for words in wrapped]
    for line in lines:
        console.print(line, soft_wrap=True)


def _wrap(words: str, width: int) -> list[str]:
    """Return lines of at most ``width`` letters. Intervals and longer words are not broken."""
    lines = [""]
    for word in re.findall(r"\[[^\[\]]*\]\S*|\S+", words):
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and cell_len(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _printable_code(code: str) -> str:
    return "\n".join(map(strip_control_characters, code.splitlines()))


def _describe_measurement(advice: Advice) -> str:
    exact = f"to {format_number(advice.resolution, 2)}" if advice.resolution else "exactly"
    return (
        "An evaluation is one run of the network. A converged sample is what the same initial noise gives with very "
        f"many steps, and is known {exact}. The error is the distance to it, root mean square over dimensions, as a "
        f"geometric mean over {number_with_noun(advice.scored_on, 'sample')} that had no part in any choice. It is "
        "not an FID. Brackets hold 95 % intervals. This answer took "
        f"{format_number(advice.minutes[0], 2)} minutes on {strip_control_characters(advice.device)}."
    )
