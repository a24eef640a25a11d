"""Texts of values with intervals for tables and sentences, and marks of unreliable intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from ..statistics.intervals import Interval

VISIBLE = 1e-4
"""Relative width below which an interval is not printed."""
INTERVALS = "Brackets are 95 % intervals."


def brackets(one: Interval | None, scale: float = 1) -> str:
    """Return a value with its interval in brackets, to the digits that the width allows.

    None gives a dash. An interval whose ends are printed alike is omitted.

    Args:
        one: value with interval, or None.
        scale: factor of the printed value, such as 100 for percent.
    """
    return "–" if one is None else _bracketed(one, scale, "")


def half(one: Interval) -> str:
    """Return a value with half the width of its interval, as text."""
    return f"{one.value:.3g} ± {one.half:.2g}"


def percent(one: Interval) -> str:
    """Return a share with its interval in percent, as text."""
    return _bracketed(one, 100, " %")


def between(one: Interval) -> str:
    """Return a value of any size with its interval, to the digits that the width allows.

    Without a visible width, only the value is printed.
    """
    width = one.high - one.low
    if not width > VISIBLE * abs(one.value):
        return _sensible(one.value)
    places = 1 - math.floor(math.log10(width))
    value, low, high = (f"{round(end, places):,.{max(0, places)}f}" for end in _inside(one))
    return f"{value} [{low}, {high}]"


def _inside(one: Interval) -> Interval:
    """Return the interval with its value clipped to it.

    A bias-corrected squared distance may be below 0, while its interval begins at 0.
    """
    return one._replace(value=min(max(one.value, one.low), one.high))


def _sensible(value: float) -> str:
    """Return a number with three significant digits, but all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bracketed(one: Interval, scale: float, unit: str) -> str:
    value, low, high = (scale * end for end in _inside(one))
    places = 0 if high - low > 10 else 1 if high - low > 0.5 else 2
    printed = [f"{end:,.{places}f}" for end in (value, low, high)]
    if len(set(printed)) == 1:
        return f"{value:.{2 if high > low else 3}g}{unit}"
    return f"{printed[0]}{unit} [{printed[1]}, {printed[2]}]"


def codes(names: Iterable[str]) -> str:
    """Return names of models as HTML, with an "and" between them."""
    return " and ".join(f"<code>{name}</code>" for name in names)


def mark(flags: Sequence[str]) -> str:
    """Return the suffix of a column of distances: a dagger if any distance is flagged, else "".

    Args:
        flags: reason against trusting each interval of the row, or "".
    """
    return " †" if any(flags) else ""


def note(flags: Sequence[str]) -> str:
    """Return a note with the reasons against trusting the intervals, as HTML; "" without
    reasons.
    """
    flagged = [flag for flag in flags if flag]
    if not flagged:
        return ""
    reasons = Counter(reason for flag in flagged for reason in flag.split("; "))
    told = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return (
        f"<p>† The intervals of {len(flagged)} of {len(flags)} Fréchet distances here are "
        "not to be trusted, for these reasons "
        f"(and so often): {escape(told)}. They are for the order of magnitude.</p>"
    )
