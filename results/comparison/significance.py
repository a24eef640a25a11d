r"""Verdicts from differences and their standard errors, corrected for the number of comparisons.

Two tests a line, each on the normal distribution of d / se, where d > 0 is worse:

    difference     H0: d = 0             p = 2 Phi(-|d| / se)
    equivalence    H0: |d| >= margin     p = Phi(-(margin - |d|) / se)          (two one-sided tests: Schuirmann 1987)

and each family corrected over the table by Holm's step-down method (Holm 1979), which keeps the
chance of any false claim of its kind at the level, under any dependence: of any false "better" or
"worse", and of any false "equivalent". The chance of either is at most twice that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEVEL = 0.05
"""Chance of any false claim of one kind in a table."""

Verdict = Literal["better", "worse", "equivalent", "inconclusive", "no verdict"]

SIGNS: dict[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "≈",
    "inconclusive": "?",
    "no verdict": "–",
}
"""The sign of each verdict, on a page and in a terminal alike."""


@dataclass(frozen=True)
class Evidence:
    """Evidence for a verdict: a difference, its error and the margin.

    Attributes:
        difference: candidate less baseline; positive is worse.
        se: its standard error, >= 0.
        margin: largest difference that does not matter, >= 0; 0 leaves nothing to be equivalent.
    """

    difference: float
    se: float
    margin: float

    @property
    def identical(self) -> bool:
        """Return True if the two are the same numbers, sample by sample: equivalent at any margin."""
        return self.difference == 0 and self.se == 0

    @property
    def p_difference(self) -> float:
        """Two-sided p value of no difference."""
        return min(1.0, 2 * upper_tail_probability(abs(self.difference), self.se))

    @property
    def p_equivalence(self) -> float:
        """P value of a difference as large as the margin: the larger of two one-sided ones."""
        if self.identical:
            return 0.0
        if not self.margin > 0:
            return 1.0
        return upper_tail_probability(self.margin - abs(self.difference), self.se)

    @property
    def p_beyond(self) -> float:
        """P value of being worse by the margin at most: small where the candidate is worse by more."""
        return upper_tail_probability(self.difference - self.margin, self.se)

    @property
    def p_within(self) -> float:
        """P value of being worse by the margin or more."""
        if self.identical:
            return 0.0
        return upper_tail_probability(self.margin - self.difference, self.se)


def upper_tail_probability(excess: float, se: float) -> float:
    """Return Phi(-excess / se). Without error the sign decides, and 0 is no excess."""
    if se == 0:
        return 0.0 if excess > 0 else 1.0
    return 0.5 * math.erfc(excess / se / math.sqrt(2))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values; those at most the level are to be rejected.

    The k-th smallest of m becomes the running maximum of (m - k + 1) p, at most 1. NaN counts as 1.
    """
    raw = [1.0 if math.isnan(p) else p for p in p_values]
    adjusted, running = [0.0] * len(raw), 0.0
    for rank, index in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        running = max(running, min(1.0, (len(raw) - rank) * raw[index]))
        adjusted[index] = running
    return adjusted


def judge_table(
    evidence: Sequence[Evidence | None], level: float = LEVEL, *, unseen: int = 0
) -> list[Verdict]:
    """Return the verdict of each line of a table; one without evidence is no test.

    ``unseen`` lines that belong to the table count as tests whose p values are larger. A difference
    that is real but shown to be within the margin is "equivalent".
    """
    tested = [item for item in evidence if item is not None]
    different, equivalent = (
        holm_adjusted([*(getattr(item, p) for item in tested), *[1.0] * unseen])[: len(tested)]
        for p in ("p_difference", "p_equivalence")
    )
    adjusted = iter(zip(different, equivalent, strict=True))
    return [
        "no verdict" if item is None else verdict_at(item.difference, *next(adjusted), level)
        for item in evidence
    ]


def claim(evidence: Evidence | None, level: float = LEVEL) -> Verdict:
    """Return the verdict of a pair by itself; within the margin it is never "better" or "worse".

    At a level stricter than a table's, a difference shown here and within the margin there would
    have two verdicts.
    """
    if evidence is None:
        return "no verdict"
    verdict = verdict_at(evidence.difference, evidence.p_difference, evidence.p_equivalence, level)
    if verdict in ("better", "worse") and abs(evidence.difference) <= evidence.margin:
        return "inconclusive"
    return verdict


def verdict_at(
    difference: float, p_difference: float, p_equivalence: float, level: float
) -> Verdict:
    """Return the verdict of one line from its p values, corrected or not."""
    if p_equivalence <= level:
        return "equivalent"
    if p_difference <= level:
        return "better" if difference < 0 else "worse"
    return "inconclusive"
