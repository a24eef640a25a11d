"""Output of the command line: two consoles, warnings, JSON, and tables of rows."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ....results.text import strip_control_characters

WIDE = 1000  # columns without a terminal: text for a pipe or a file is neither cut nor wrapped
_PROSE, _WRAPPED = 34, 24
"""Smallest width at which a table's column may be wrapped, and smallest width after wrapping."""


class SafeConsole(Console):
    """Console that removes control characters from texts, which can come from untrusted files.

    It prints ``:factory:`` as written, not as an emoji, and highlights no numbers or paths.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)
        if not self.is_terminal and not os.environ.get("COLUMNS") and "width" not in options:
            self.width = WIDE

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield rich's segments, with control characters removed from their texts."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else strip_control_characters(segment.text)
            yield Segment(text, segment.style, segment.control)


out, err = SafeConsole(), SafeConsole(stderr=True)


class WarningHandler(logging.Handler):
    """Logging handler that prints the library's warnings and notes to standard error, each once."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as a warning or a note, unless it was printed before."""
        sentence = record.getMessage()
        if sentence not in self._said:
            self._said.add(sentence)
            kind = "warning" if record.levelno >= logging.WARNING else "note"
            say(f"{kind}: {sentence}", to=err)


def say(text: str, to: Console = out) -> None:
    """Print text without interpreting markup and without wrapping lines."""
    to.print(text, markup=False, soft_wrap=True)


def announce(text: str) -> None:
    """Print the name of a stage before slow imports, if standard error is a terminal."""
    if err.is_terminal:
        err.print(text, style="dim", markup=False)


def say_next(*commands: Sequence[object], to: Console = out) -> None:
    """Print commands to type next; each is given as its list of words, without ``samplerbench``."""
    lines = [shlex.join(["samplerbench", *map(str, words)]) for words in commands]
    text = "Next: " if len(lines) == 1 else "Next:\n  "
    to.print(Text(text, style="bold").append("\n  ".join(lines), style="not bold"), soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value as JSON; values of types that JSON lacks become text."""
    out.print_json(json.dumps(value, default=str))


def print_rows(rows: Sequence[dict[str, Any]], columns: dict[str, str] | None = None) -> None:
    """Print rows as a table.

    ``columns`` maps the keys of the printed columns to their headings; None prints the first row's.
    Nothing is cut. If the console is too narrow, long texts are wrapped in their columns. If wrapping
    is not enough, the last columns go to a second line under each row, with their headings.
    """
    columns = columns or {key: key for key in rows[0]}
    headings = [*columns.values()]
    texts = [[format_value(row[key]) for key in columns] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *texts, strict=True)]
    wrapped = [_WRAPPED if place and wide > _PROSE else wide for place, wide in enumerate(widths)]
    gaps = 2 * (len(columns) - 1)
    is_plain = not out.is_terminal and sum(widths) + gaps <= out.width
    if not is_plain and sum(wrapped) + gaps <= out.width:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
        for heading, least, width in zip(headings, wrapped, widths, strict=True):
            table.add_column(heading, no_wrap=least == width, overflow="fold")
        for cells in texts:
            table.add_row(*map(Text, cells))
        return out.print(table)
    ends = [end + 2 * place for place, end in enumerate(accumulate(widths))]
    count = max(sum(end <= out.width for end in ends), 1)
    say(_line(headings, widths[:count]))
    for cells in texts:
        say(_line(cells, widths[:count]))
        others = zip(headings[count:], cells[count:], strict=True)
        if rest := "; ".join(f"{heading} {cell}" for heading, cell in others if cell):
            out.print(Padding(Text(rest, style="dim"), (0, 0, 0, 4)))
    return None


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "  ".join(map(set_cell_size, cells, widths)).rstrip()


def format_value(value: Any) -> str:
    """Return a value as text: "" for None and False, "yes" for True, four digits of a float."""
    if value is None or value is False or value == "":
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def duration_in_words(seconds: float) -> str:
    """Return seconds as ``12 s``, ``5 min`` or ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
