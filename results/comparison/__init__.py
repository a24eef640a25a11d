"""Comparisons of rows: pairs, differences with errors, verdicts, findings, Pareto front and gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .endpoint_distances import typical_error
    from .estimates import Estimate, difference, estimate_of
    from .pairing import Entry, Pair, read_source
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
    "read_source",
    "typical_error",
]

_HOMES = {
    "endpoint_distances": "typical_error",
    "estimates": "Estimate difference estimate_of",
    "pairing": "Entry Pair read_source",
    "significance": "Evidence claim judge_table",
    "verdicts": "judge",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
