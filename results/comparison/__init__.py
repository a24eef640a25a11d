"""Comparisons of rows: pairs, differences with errors, verdicts, and what is built on them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .distances import typical_error
    from .estimates import Estimate, difference, estimate_of
    from .pairing import Entry, Pair
    from .significance import Evidence, claim, judge_table
    from .verdicts import judge

__all__ = [
    "Entry",
    "Estimate",
    "Evidence",
    "Pair",
    "claim",
    "difference",
    "estimate_of",
    "judge",
    "judge_table",
    "typical_error",
]

_HOMES = {
    "Entry": "pairing",
    "Estimate": "estimates",
    "Evidence": "significance",
    "Pair": "pairing",
    "claim": "significance",
    "difference": "estimates",
    "estimate_of": "estimates",
    "judge": "verdicts",
    "typical_error": "distances",
    "judge_table": "significance",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
