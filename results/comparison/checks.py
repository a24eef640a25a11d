"""What a gate found: one check a line, and those of the cells that the candidate did not finish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .compare import name_of
from .entries import Entry, Source
from .pairing import Matches, Pair, match

Outcome = Literal["passed", "regression", "inconclusive"]


@dataclass(frozen=True)
class Check:
    """One line of a gate.

    Attributes:
        row: which cell.
        what: a metric, "time" or "status".
        outcome: what was found.
        detail: the numbers, or the reason why nothing could be said.
    """

    row: str
    what: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class GateReport:
    """All checks of a gate."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing became worse by more than its margin."""
        return not self.having("regression")

    def having(self, outcome: Outcome) -> list[Check]:
        """The checks with one outcome."""
        return [check for check in self.checks if check.outcome == outcome]


def lost(matches: Matches, candidate: Source) -> list[Check]:
    """Cells that the baseline finished and the candidate did not: failed and crashed ones are regressions, absent ones say nothing."""
    without = match(matches.only_baseline, [Entry(row) for row in candidate.failed])
    failures = [_failure(pair) for pair in without.pairs]
    return failures + [Check(name_of(entry.record), "status", "inconclusive", "not in the candidate") for entry in without.only_baseline]


def _failure(pair: Pair) -> Check:
    row = pair.candidate.record
    reason = f": {row['reason']}" if row.get("reason") else ""
    outcome: Outcome = "regression" if row["status"] in ("failed", "diverged", "crashed", "timed out") else "inconclusive"
    return Check(name_of(pair.baseline.record), "status", outcome, f"ok → {row['status']}{reason}")
