"""Names with options, as the command line and suites write them: samplers, schedules and models are
asked for in one way.

What reads them is :mod:`samplerbench.samplers.spec`, since ``make`` takes the same words.
"""

from __future__ import annotations

from ...samplers.spec import (
    DEEPEST,
    LARGEST_NUMBER,
    LONGEST,
    canonical,
    format_spec,
    label_of,
    parse_spec,
    shown,
)

__all__ = [
    "DEEPEST",
    "LARGEST_NUMBER",
    "LONGEST",
    "canonical",
    "format_spec",
    "label_of",
    "parse_spec",
    "shown",
]
