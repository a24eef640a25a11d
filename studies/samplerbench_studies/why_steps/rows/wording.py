"""How numbers with intervals are written in tables and sentences, and which of them are not to
be trusted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from ..statistics.intervals import Interval

VISIBLE = 1e-4
"""An interval that is narrower than this share of its value is not told."""
INTERVALS = "Brackets are 95 % intervals."


def brackets(one: Interval | None, scale: float = 1) -> str:
    """A value with its interval in brackets, to the places that the interval's width allows.

    A dash for none.

    An interval that is too narrow to be seen in print is left out: of a value that is exact nothing
    is gained by repeating it.

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


def between(one: Interval) -> str:
    """A value of any size with its interval, to the digits that its width allows.

    The value alone where it has no width to speak of.
    """
    width = one.high - one.low
    if not width > VISIBLE * abs(one.value):
        return _sensible(one.value)
    places = 1 - math.floor(math.log10(width))
    value, low, high = (f"{round(end, places):,.{max(0, places)}f}" for end in _inside(one))
    return f"{value} [{low}, {high}]"


def _inside(one: Interval) -> Interval:
    """Return the interval with its value moved into it.

    A squared distance may be estimated below 0 once its bias is removed. Its interval begins at 0.
    """
    return one._replace(value=min(max(one.value, one.low), one.high))


def _sensible(value: float) -> str:
    """Three digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bracketed(one: Interval, scale: float, unit: str) -> str:
    value, low, high = (scale * end for end in _inside(one))
    places = 0 if high - low > 10 else 1 if high - low > 0.5 else 2
    printed = [f"{end:,.{places}f}" for end in (value, low, high)]
    if len(set(printed)) == 1:
        return f"{value:.{2 if high > low else 3}g}{unit}"
    return f"{printed[0]}{unit} [{printed[1]}, {printed[2]}]"


def codes(names: Iterable[str]) -> str:
    """Names of models, as HTML, with an "and" between them."""
    return " and ".join(f"<code>{name}</code>" for name in names)


def mark(flags: Sequence[str]) -> str:
    """What follows the name of a column of distances: a dagger if one of those that the row
    measured is flagged.

    Args:
        flags: of all of them, why each is not to be trusted; empty for those that are.
    """
    return " †" if any(flags) else ""


def note(flags: Sequence[str]) -> str:
    """Why their intervals are not to be trusted, as HTML; empty if they are."""
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
