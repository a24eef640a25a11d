"""Comparisons of runs, of samplers, and with papers, for a terminal of 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..comparison.compare import Comparison, comparison_notes
from ..comparison.verdicts import Line
from ..printed_values import shown_number
from ..published.reproduction import CLOSE, Reproduction
from ..sentences import sentence_on_comparison
from ..table.curves import TUNED_SCHEDULE, Tuning
from ..text import format_number, interval_text, strip_control_characters
from ..values import number, text


def print_reproductions(reproductions: Sequence[Reproduction], console: Console) -> None:
    """Print each row with the FIDs published for it, then the rows without a published FID."""
    matched = [item for item in reproductions if item.paper is not None]
    for (model, published), of_model in groupby(
        matched, lambda item: (text(item.row, "model"), item.model)
    ):
        same = "" if model == published else f" · published as {published}"
        console.print(Text(f"{model}{same}", style="bold"))
        for _, numbers in groupby(of_model, lambda item: id(item.row)):
            _print_row(list(numbers), console)
    alone: dict[str, list[str]] = {}
    for item in reproductions:
        if item.paper is None:
            alone.setdefault(item.reason, []).append(_row_in_words(item))
    for reason, rows in alone.items():
        console.print(Text(f"Nothing published for {', '.join(rows)}: {reason}."))
    console.print(Text(_NOTE, style="dim"))


_NOTE = (
    "The run's value is the plug-in FID at the paper's number of samples, or at its own where "
    "the paper does not say it, with its 95 % interval. The interval of a difference has the "
    'published draw and its rounding in it. "Reproduced within X": the interval lies within X '
    f"of 0, and X is at most {CLOSE:.0%} (or --margin, if larger) of the number. A paper's "
    "reference statistics must be the run's (--reference); the tables do not record them."
)


def _row_in_words(item: Reproduction) -> str:
    name = text(item.row, "curve") or text(item.row, "sampler")
    return f"{name} at {format_number(number(item.row, 'nfe'))} NFE"


def _print_row(numbers: list[Reproduction], console: Console) -> None:
    console.print(Padding(Text(_row_in_words(numbers[0])), (0, 0, 0, 2), expand=False))
    for item in numbers:
        console.print(Padding(Text(item.verdict, style="bold"), (0, 0, 0, 4), expand=False))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, words in _labelled_lines(item):
            table.add_row(label, Text(words))
        console.print(Padding(table, (0, 0, 0, 4), expand=False))
        console.print()


def _labelled_lines(item: Reproduction) -> Iterator[tuple[str, str]]:
    paper = item.paper
    assert paper is not None
    grid = f", {paper.grid}" if paper.grid else ""
    kind = "distance" if item.outcome == "not comparable" else "FID"
    yield "run", f"{kind} {interval_text(item.fid, item.low, item.high)}"
    yield "published", f"FID {paper.fid}, {paper.solver}{grid}"
    yield "in", f"{paper.paper}, {paper.where}; {paper.url}"
    if paper.also:
        yield "also in", paper.also
    for point in item.differences:
        if point.both_are_stated:
            yield "differs", f"{point.what}: {point.run}, published {point.published}"
    if paper.remark:
        yield "remark", paper.remark
    for side, speaker in (("published", "the source"), ("run", "the run's table")):
        unsaid = [point.what for point in item.differences if not getattr(point, side)]
        if unsaid:
            yield "not said", f"by {speaker}: {', '.join(unsaid)}"


_TABLE: Any = {"box": None, "padding": (0, 2, 0, 0), "pad_edge": False, "header_style": "bold"}
_TUNING_HEADINGS = ("NFE", "teacher", "search", "s", "gap", "other model, untuned → tuned")
_TUNING_NOTE = (
    "Teacher and search are network evaluations, all training latents together; no row "
    "scores these latents. "
    "The gap is (tuned / untuned error on other latents) / (the same on the training latents) - 1."
)

STYLES = {
    "better": "bold green",
    "worse": "bold red",
    "equivalent": "cyan",
    "inconclusive": "",
    "no verdict": "dim",
}
_HEADINGS = ("NFE", "value", "Δ [95 %]", "verdict", "time")


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison: a table per model, estimator and metric, then the tuning, then notes."""
    tables: dict[tuple[str, str, str], list[Line]] = {}
    for line in comparison.lines:
        tables.setdefault((line.model, line.metric, line.estimator), []).append(line)
    counts = Counter(key[:2] for key in tables)
    for (model, metric, estimator), of_model in tables.items():
        words = f"{model} · {metric} against {comparison.baseline}"
        words += f" · {estimator}" if counts[model, metric] > 1 else ""
        heading = Text(strip_control_characters(words), style="bold")
        console.print(heading, soft_wrap=not console.is_terminal)
        if sentence := sentence_on_comparison(of_model):
            console.print(Text(strip_control_characters(sentence)))
        console.print(_comparison_table(of_model, console.width), crop=False)
        console.print()
    print_tuning(comparison.lines, console)
    for note in comparison_notes(comparison):
        console.print(Text(strip_control_characters(note), style="dim"))


def _comparison_table(lines: Sequence[Line], room: int) -> Table:
    table = Table(**_TABLE)
    cells = [_comparison_cells(line) for line in lines]
    _add_columns(table, _HEADINGS, cells, room, left="verdict")
    for line, row in zip(lines, cells, strict=True):
        styled = (Text(cell, style=STYLES.get(cell, "")) for cell in row)
        table.add_row(Text(strip_control_characters(line.sampler)), *styled)
    return table


def _add_columns(
    table: Table, headings: Sequence[str], cells: Sequence[Sequence[str]], room: int, *, left: str
) -> None:
    """Add a column of samplers, whose names fold, and columns whose ``cells`` are never cut."""
    table.add_column("sampler", overflow="fold")
    least = len("sampler")
    for place, heading in enumerate(headings):
        width = max(map(len, [heading, *(row[place] for row in cells)]))
        side = "left" if heading == left else "right"
        table.add_column(heading, justify=side, no_wrap=True, min_width=width)
        least += 2 + width
    table.width = least if least > room else None  # the terminal breaks the lines


def _comparison_cells(line: Line) -> tuple[str, ...]:
    at = "–" if line.budget is None else str(line.budget)
    sure = f" {line.time_verdict}" if line.time_verdict != "ambiguous" else ""
    time = "" if line.time_ratio is None else f"×{format_number(line.time_ratio)}{sure}"
    gap, low, high = (format_number(x, 2) for x in (line.difference, line.low, line.high))
    if line.low is not None and line.high is not None:
        gap += f" [{low}, {high}]"
    gap += "" if line.paired else "*"  # the note below the table explains the star
    return at, shown_number(line.metric, line.value), gap, line.verdict, time


def print_tuning(lines: Iterable[Line], console: Console) -> None:
    """Print a table per model on the tuning of its rows and baselines; nothing if none is tuned."""
    rows = {}
    for line in lines:
        sides = ((line.baseline, line.baseline_tuning), (line.sampler, line.tuning))
        rows |= {
            (line.model, sampler, line.budget): tuning
            for sampler, tuning in sides
            if tuning is not None
        }
    for model in dict.fromkeys(key[0] for key in rows):
        heading = Text(f"{model} · what the tuning took", style="not italic bold")
        table = Table(title=heading, title_justify="left", **_TABLE)
        keys = sorted((key for key in rows if key[0] == model), key=lambda x: (x[2] or 0, x[1]))
        cells = [_tuning_cells(key[2], rows[key]) for key in keys]
        _add_columns(table, _TUNING_HEADINGS, cells, console.width, left=_TUNING_HEADINGS[-1])
        for (_, sampler, _), row in zip(keys, cells, strict=True):
            # names without their schedule: all rows have tuned schedules
            parts = (
                part for part in sampler.split(" · ") if part.partition("(")[0] != TUNED_SCHEDULE
            )
            table.add_row(*map(Text, (" · ".join(parts), *row)))
        console.print(table, crop=False)
        console.print()
    if rows:
        console.print(Text(_TUNING_NOTE, style="dim"))


def _tuning_cells(budget: int | None, tuning: Tuning) -> tuple[str, ...]:
    errors = " → ".join(map(format_number, (tuning.other_untuned, tuning.other_error)))
    counts, seconds = (f"{tuning.teacher:,}", f"{tuning.search:,}"), format_number(tuning.seconds)
    at = "–" if budget is None else str(budget)
    return at, *counts, seconds, f"{tuning.gap:+.0%}", f"{tuning.other}: {errors}"
