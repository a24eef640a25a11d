"""Facts on how an answer came about, as terms and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....results.text import format_number
from ..answer import Advice

LONG = 12
"""Entries of a mapping that has a line for each, at most."""


def facts(advice: Advice) -> list[tuple[str, str]]:
    """Return facts on how the answer came about, as terms and values."""
    took, limit = advice.minutes
    about = [(key.replace("_", " "), value) for key, value in flat(advice.about)]
    return [
        ("model", advice.model),
        *about,
        ("now", advice.default),
        ("device", advice.device),
        ("time", f"{format_number(took)} minutes of {format_number(limit)} that were given"),
        *(
            [("times", f"per sample, in batches of {advice.timed_batch}")]
            if advice.timed_batch
            else []
        ),
    ]


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return a mapping of anything as names and texts; mappings in it one after the other, and long ones,
    as the versions of all packages, as one text.
    """
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before} {key}".strip()
        if isinstance(value, Mapping) and len(value) > LONG:
            pairs.append((name, ", ".join(f"{item} {_text(of)}" for item, of in value.items())))
        elif isinstance(value, Mapping):
            pairs += flat(value, name)
        elif value is not None and value not in ("", [], ()):
            pairs.append((name, _text(value)))
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        sizes = all(type(item) is int for item in value)
        return (" × " if sizes else " ").join(map(_text, value))
    if isinstance(value, int):
        return f"{value:,}"
    return format_number(value, 5) if isinstance(value, float) else str(value)
