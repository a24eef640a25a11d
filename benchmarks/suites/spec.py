"""Names with options, one syntax for samplers, schedules and models in commands and suites.

:mod:`samplerbench.samplers.spec` parses them, since ``make`` takes the same texts.
"""

from __future__ import annotations

from ...samplers.spec import (
    DEEPEST,
    LARGEST_NUMBER,
    LONGEST,
    abbreviate,
    canonical,
    format_spec,
    label_of,
    parse_spec,
)

__all__ = [
    "DEEPEST",
    "LARGEST_NUMBER",
    "LONGEST",
    "abbreviate",
    "canonical",
    "format_spec",
    "label_of",
    "parse_spec",
]
