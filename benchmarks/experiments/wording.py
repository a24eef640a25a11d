"""How numbers with intervals are written in tables and sentences."""

from __future__ import annotations

from .intervals import Interval

INTERVALS = "Brackets are 95 % intervals."


def brackets(one: Interval | None, scale: float = 1) -> str:
    """A value with its interval in brackets, to the places that the interval's width allows; a dash for none.

    Args:
        one: the interval, or None.
        scale: what it is multiplied by, such as 100 for percent.
    """
    return "–" if one is None else _bracketed(one, scale, "")


def half(one: Interval) -> str:
    """A value with half the width of its interval."""
    return f"{one.value:.3g} ± {one.half:.2g}"


def percent(one: Interval) -> str:
    """A share with its interval, in percent."""
    return _bracketed(one, 100, " %")


def _bracketed(one: Interval, scale: float, unit: str) -> str:
    value, low, high = (scale * end for end in one)
    places = 0 if high - low > 10 else 1 if high - low > 0.5 else 2
    return f"{value:.{places}f}{unit} [{low:.{places}f}{unit}, {high:.{places}f}{unit}]"


def listed(heading: str, lines: list[str]) -> str:
    """A sentence, and lines below it, as HTML."""
    return "<br>".join([heading, *lines])
