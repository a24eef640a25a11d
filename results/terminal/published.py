"""Run and published numbers in a terminal: readable at 80 columns and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..published.reproduction import CLOSE, Reproduction
from ..text import format_number, interval
from ..values import number, text


def print_reproductions(found: Sequence[Reproduction], console: Console) -> None:
    """Print each row with the numbers that are published for it, what differs, and at the end
    the rows of which nothing is.
    """
    matched = [item for item in found if item.paper is not None]
    for (model, published), of_model in groupby(matched, lambda item: _models(item)):
        same = "" if model == published else f" · published as {published}"
        console.print(Text(f"{model}{same}", style="bold"))
        for _, numbers in groupby(of_model, lambda item: id(item.row)):
            _print_row(list(numbers), console)
    alone: dict[str, list[str]] = {}
    for item in found:
        if item.paper is None:
            alone.setdefault(item.reason, []).append(_row(item))
    for reason, rows in alone.items():
        console.print(Text(f"Nothing published for {', '.join(rows)}: {reason}."))
    console.print(Text(_NOTE, style="dim"))


_NOTE = (
    "The run's value is the plug-in FID at the paper's number of samples, or at its own where "
    "the paper does not say it, with its 95 % interval. The interval of a difference has the "
    'published draw and its rounding in it. "Reproduced within X": the interval lies within X '
    f"of 0, and X is at most {CLOSE:.0%} of the number. A paper's reference statistics must be "
    "the run's (--reference), which no table tells."
)


def _models(item: Reproduction) -> tuple[str, str]:
    return text(item.row, "model"), item.model


def _row(item: Reproduction) -> str:
    name = text(item.row, "curve") or text(item.row, "sampler")
    return f"{name} at {format_number(number(item.row, 'nfe'))} NFE"


def _print_row(numbers: list[Reproduction], console: Console) -> None:
    console.print(Padding(Text(_row(numbers[0])), (0, 0, 0, 2), expand=False))
    for item in numbers:
        console.print(Padding(Text(item.verdict, style="bold"), (0, 0, 0, 4), expand=False))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, words in _lines(item):
            table.add_row(label, Text(words))
        console.print(Padding(table, (0, 0, 0, 4), expand=False))
        console.print()


def _lines(row: Reproduction) -> Iterator[tuple[str, str]]:
    paper = row.paper
    assert paper is not None
    grid = f", {paper.grid}" if paper.grid else ""
    kind = "distance" if row.outcome == "not comparable" else "FID"
    yield "run", f"{kind} {interval(row.fid, row.low, row.high)}"
    yield "published", f"FID {paper.fid}, {paper.solver}{grid}"
    yield "in", f"{paper.paper}, {paper.where}; {paper.url}"
    if paper.also:
        yield "also in", paper.also
    for item in row.differences:
        if item.known:
            yield "differs", f"{item.what}: {item.run}, published {item.published}"
    if paper.remark:
        yield "remark", paper.remark
    for side, speaker in (("published", "the source"), ("run", "the run's table")):
        unsaid = [item.what for item in row.differences if not getattr(item, side)]
        if unsaid:
            yield "not said", f"by {speaker}: {', '.join(unsaid)}"
