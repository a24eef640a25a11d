"""Where the command line writes, and how it shows rows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDE = 1000
"""Letters across where nobody looks at a screen: what goes into a pipe or a file is neither cut nor wrapped."""


def _console(*, stderr: bool = False) -> Console:
    """A console that prints names as they are: without emoji for ``:factory:``, and without colours that nobody asked for."""
    console = Console(stderr=stderr, highlight=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = WIDE
    return console


out, err = _console(), _console(stderr=True)


def say(text: str) -> None:
    """Print text as it is: no markup, and no line breaks of ours."""
    out.print(text, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value as JSON; what JSON does not know becomes text."""
    out.print_json(json.dumps(value, default=str))


def print_rows(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    """Print one row a line: ``columns`` maps the keys that are shown to their headings. Names are never broken."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for place, heading in enumerate(columns.values()):
        table.add_column(heading, no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*(cell_text(row[key]) for key in columns))
    out.print(table)


def cell_text(value: Any) -> str:
    """A value of a row, for people."""
    if value is None or value is False or value == "":
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.4g}"
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)).replace("[", "\\[")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
