"""A comparison in a terminal: a table for each model and metric, readable at 80 columns and without colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..comparison.compare import Comparison
from ..comparison.significance import LEVEL
from ..comparison.verdicts import Line
from ..escaping import plain
from ..text import short
from .tuned import print_tuning

STYLES = {"better": "bold green", "worse": "bold red", "equivalent": "cyan", "inconclusive": "", "no verdict": "dim"}
_HEADINGS = ("NFE", "value", "Δ [95 %]", "verdict", "time")
_SHOWN_UNMATCHED = 5


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the lines and what is to be known about them: why some have no verdict, what was not matched, what else could be asked.

    Args:
        comparison: what to print.
        console: where to.
    """
    for (model, metric), lines in groupby(comparison.lines, key=lambda line: (line.model, line.metric)):
        heading = Text(plain(f"{model} · {metric} against {comparison.baseline}"), style="bold")
        console.print(heading, soft_wrap=not console.is_terminal)
        console.print(_table(list(lines)))
        console.print()
    print_tuning(comparison.lines, console)
    for note in notes(comparison):
        console.print(Text(plain(note), style="dim"))


def notes(comparison: Comparison) -> list[str]:
    """What is to be known about a comparison, a sentence each."""
    lines, count = comparison.lines, len(comparison.unmatched)
    counts = Counter(line.verdict for line in lines)
    found = [f"{len(lines)} comparisons: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) + "."]
    found += [
        "Δ is candidate less baseline, with its own 95 % interval. "
        f"At most {LEVEL:.0%} of such tables hold any false better or worse (Holm). Lower is better."
    ]
    found += [f"No verdict on {n}: {reason}." for reason, n in Counter(line.reason for line in lines if line.reason).items()]
    found += [f"No time on {n}: {reason}." for reason, n in Counter(line.time_reason for line in lines if line.time_reason).items()]
    alone = sum(line.paired == 0 for line in lines)
    if alone:
        found.append(f"{alone} unpaired (*): other latents, or no influence values; their intervals are wider than paired ones.")
    if count:
        more = f" and {count - _SHOWN_UNMATCHED} more" if count > _SHOWN_UNMATCHED else ""
        found.append(f"Not compared: {'; '.join(comparison.unmatched[:_SHOWN_UNMATCHED])}{more}.")
    if comparison.others:
        found.append(f"Also measured: {', '.join(comparison.others)} (--metric NAME, or --metric all).")
    return found


def _table(lines: Sequence[Line]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    cells = [_cells(line) for line in lines]
    table.add_column("sampler", overflow="fold")
    for place, heading in enumerate(_HEADINGS):  # numbers and verdicts are never cut: names fold instead
        width = max(map(len, [heading, *(row[place] for row in cells)]))
        table.add_column(heading, justify="left" if heading == "verdict" else "right", no_wrap=True, min_width=width)
    for line, row in zip(lines, cells, strict=True):
        table.add_row(Text(plain(line.sampler)), *(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table


def _cells(line: Line) -> tuple[str, ...]:
    """What stands beside a name."""
    at = "–" if line.budget is None else str(line.budget)
    time = "" if line.time_ratio is None else f"×{short(line.time_ratio)}"
    return at, short(line.value), _difference(line), line.verdict, time


def _difference(line: Line) -> str:
    """``Δ [low, high]`` with two digits; a star marks rows taken as independent."""
    star = "" if line.paired else "*"
    if line.low is None or line.high is None:
        return short(line.difference, 2) + star
    return f"{short(line.difference, 2)} [{short(line.low, 2)}, {short(line.high, 2)}]{star}"
