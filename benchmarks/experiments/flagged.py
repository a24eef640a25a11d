"""Which Fréchet distances of a row have intervals that are not to be trusted, told in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape


def mark(flags: Sequence[str]) -> str:
    """What follows the name of a column of distances: a dagger if one of those that the row measured is flagged.

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
        f"<p>† The intervals of {len(flagged)} of {len(flags)} Fréchet distances here are not to be trusted, for these reasons "
        f"(and so often): {escape(told)}. They are for the order of magnitude.</p>"
    )
