"""Escaping of texts from files, so that terminals, Markdown and spreadsheets show them safely.

This module imports only the standard library, so that the command line starts quickly.
"""

from __future__ import annotations

import re

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
    """Return a CSV field without the apostrophe that :func:`.text.csv_field` put before formulas.

    >>> unquote_csv_text("'=1+1"), unquote_csv_text("''=1+1"), unquote_csv_text("'tis")
    ('=1+1', "'=1+1", "'tis")
    """
    return words[1:] if words.startswith("'") and FORMULA.match(words) else words
