"""Numbers, intervals, CSV and Markdown as text, hints for unknown names, and texts from files.

Texts from files are escaped, so that terminals, Markdown and spreadsheets show them safely. This
module imports only the standard library, so that the command line starts quickly.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .values import is_empty

Z95 = 1.959963984540054
"""Half-width of a 95 % normal interval in standard errors."""


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number as text with ``digits`` significant digits; "–" for an empty value.

    Magnitudes from 10 ** (digits - 1) to 1e6 are rounded to integers instead.

    >>> [format_number(v) for v in (0.012345, 1.5, 12345.6, 2e-7, None)]
    ['0.0123', '1.5', '12346', '2e-7', '–']
    """
    if value is None or is_empty(value):
        return "–"
    value = float(value)
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 10 ** (digits - 1) <= abs(value) < 1e6:
        return f"{value:.0f}"
    return re.sub(
        r"e([+-])0*(\d)", lambda match: f"e{match[1].strip('+')}{match[2]}", f"{value:.{digits}g}"
    )


class Interval(NamedTuple):
    """Value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def interval_ends(value: float, se: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval ``value`` ± 1.96 ``se``."""
    return value - Z95 * se, value + Z95 * se


def interval_text(value: float | None, low: float | None, high: float | None) -> str:
    """Return ``value [low, high]`` as text; the value alone if an end is None.

    >>> interval_text(2, 1.5, 4), interval_text(2, None, None), interval_text(None, None, None)
    ('2 [1.5, 4]', '2', '–')
    """
    if low is None or high is None:
        return format_number(value)
    return f"{format_number(value)} [{format_number(low)}, {format_number(high)}]"


ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and the cursor
    # titles, links and other strings, up to their end or the beginning of the next string, so that
    # the search takes linear time
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
"""Escape sequences that a terminal obeys (ECMA-48)."""
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Marks of writing direction, and control characters other than tab and newline."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Beginning of a text that spreadsheets take for a formula, or would without its apostrophes."""


def strip_control_characters(words: str) -> str:
    r"""Return ``words`` without escape sequences and :data:`CONTROLS`.

    >>> strip_control_characters("a\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link")
    'ared link'
    """
    return CONTROLS.sub("", ESCAPES.sub("", words))


def escape_markdown(words: str) -> str:
    """Return ``words`` on one line, without control characters, with backslashes before markup."""
    return re.sub(
        r"([\\`*<>|~&]|(?<=\])\(|(?<!\w)_|_(?!\w))",
        r"\\\1",
        " ".join(strip_control_characters(words).split()),
    )


def unquote_csv_text(words: str) -> str:
    """Return a CSV field without the apostrophe that :func:`csv_field` put before a formula.

    >>> unquote_csv_text("'=1+1"), unquote_csv_text("''=1+1"), unquote_csv_text("'tis")
    ('=1+1', "'=1+1", "'tis")
    """
    return words[1:] if words.startswith("'") and FORMULA.match(words) else words


def csv_lines(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a header and rows as CSV text, each value by :func:`csv_field`."""
    return "".join(",".join(map(csv_field, line)) + "\n" for line in (header, *rows))


def csv_field(value: object) -> str:
    r"""Return a value as a CSV field (RFC 4180), numbers with all digits; "" for an empty value.

    A text that a spreadsheet would read as a formula gets an apostrophe in front, which
    :func:`unquote_csv_text` removes. A lone ``\r`` is quoted, unlike by pandas.
    """
    if isinstance(value, float | int):  # first, for speed: most values are numbers
        return str(value) if value == value else ""
    words = "" if is_empty(value) else str(value)
    if isinstance(value, str) and FORMULA.match(value):
        words = f"'{value}"
    return '"' + words.replace('"', '""') + '"' if re.search(r'[",\r\n]', words) else words


def name_hint(name: str, options: Iterable[str], *, most: int = 12) -> str:
    """Return a hint for an unknown name: up to 3 similar options, and the first ``most`` of all."""
    names = list(options)
    close = difflib.get_close_matches(name, names, n=3)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{hint}choose from {', '.join(names[:most])}{more}"


def cut_middle(words: str, most: int) -> str:
    """Return a text of at most ``most`` letters: of a longer one two thirds are its start.

    >>> cut_middle("DPM-Solver++(2M) · uniform_time", 24), cut_middle("euler", 24)
    ('DPM-Solver++(2M…orm_time', 'euler')
    """
    end = most // 3
    return words if len(words) <= most else f"{words[: most - 1 - end]}…{words[-end:]}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a GitHub-style Markdown table, with cells escaped so that none can add markup."""
    cells = [
        [escape_markdown("" if is_empty(cell) else str(cell)) for cell in row]
        for row in (header, *rows)
    ]
    lines = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(header), *lines[1:], ""])


def without_empty_columns(
    header: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[list[str], list[list[object]]]:
    """Return header and rows without the columns that are empty or "–" in every row."""
    columns = [
        place
        for place in range(len(header))
        if any(not is_empty(row[place]) and row[place] not in ("", "–") for row in rows)
    ]
    return [header[place] for place in columns], [[row[place] for place in columns] for row in rows]
