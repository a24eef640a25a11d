"""Where the command line writes, and how it shows rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from ...results.harmless import plain


class Safe(Console):
    """A console whose texts no terminal obeys: names and reasons come from files, and may hold anything."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Rich's rendering, with every text that is not rich's own control made plain."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


out = Safe(highlight=False)
err = Safe(stderr=True, highlight=False)


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
