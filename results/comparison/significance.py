r"""Verdicts from differences and their standard errors, corrected for the number of comparisons.

Each line of a table has two tests on the distribution F of d / se, where d > 0 is worse. F is
Student's with the degrees of freedom of se (Student 1908; Welch 1947), the normal one without them.

    difference     H0: d = 0             p = 2 F(-|d| / se)
    equivalence    H0: |d| >= margin     p = F(-(margin - |d|) / se)          (two one-sided tests: Schuirmann 1987)

Holm's step-down method (Holm 1979) corrects each kind of test over the table. Under any dependence,
the chance of any false "better" or "worse" is at most the level, and so is the chance of any false
"equivalent". The chance of either is at most twice the level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from ..text import Z95

LEVEL = 0.05
"""Largest chance of any false claim of one kind in a table."""

Verdict = Literal["better", "worse", "equivalent", "inconclusive", "no verdict"]

SIGNS: dict[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "≈",
    "inconclusive": "?",
    "no verdict": "–",
}
"""Sign of each verdict, in reports and terminals."""


@dataclass(frozen=True)
class Evidence:
    """Evidence for a verdict: a difference, its error and the margin.

    Attributes:
        difference: candidate less baseline; positive is worse.
        se: standard error of the difference, >= 0.
        margin: largest difference that does not matter, >= 0. With 0, only identical numbers are
            equivalent.
        df: degrees of freedom of ``se``, > 0; inf for a normal distribution.
    """

    difference: float
    se: float
    margin: float
    df: float = field(default=math.inf, kw_only=True)

    @property
    def identical(self) -> bool:
        """Return True if difference and error are 0, as for identical samples."""
        return self.difference == 0 and self.se == 0

    @property
    def p_difference(self) -> float:
        """Two-sided p value of H0: difference = 0."""
        return min(1.0, 2 * upper_tail_probability(abs(self.difference), self.se, self.df))

    @property
    def p_equivalence(self) -> float:
        """P value of H0: |difference| >= margin."""
        if self.identical:
            return 0.0
        if not self.margin > 0:
            return 1.0
        return upper_tail_probability(self.margin - abs(self.difference), self.se, self.df)

    @property
    def p_beyond(self) -> float:
        """P value of H0: difference <= margin."""
        return upper_tail_probability(self.difference - self.margin, self.se, self.df)

    @property
    def p_within(self) -> float:
        """P value of H0: difference >= margin."""
        if self.identical:
            return 0.0
        return upper_tail_probability(self.margin - self.difference, self.se, self.df)


def upper_tail_probability(excess: float, se: float, df: float = math.inf) -> float:
    """Return F(-excess / se). With se = 0 it is 0 for an excess > 0, else 1."""
    if se == 0:
        return 0.0 if excess > 0 else 1.0
    t = excess / se
    if df == math.inf:
        return 0.5 * math.erfc(t / math.sqrt(2))
    from scipy.special import betainc  # imported here: reading tables needs no scipy

    tail = 0.5 * float(betainc(df / 2, 0.5, df / (df + t * t)))  # t**2 raises an error beyond 1e308
    return tail if t > 0 else 1 - tail


@lru_cache(maxsize=1024)
def half_width_95(df: float) -> float:
    """Return the half-width of a 95 % interval in standard errors with ``df`` degrees of freedom.

    >>> [round(half_width_95(df), 2) for df in (1, 10, math.inf)]
    [12.71, 2.23, 1.96]
    """
    if df == math.inf:
        return Z95
    from scipy.special import betaincinv

    squared = float(betaincinv(0.5, df / 2, 0.95))  # t² / (df + t²)
    return math.sqrt(df * squared / (1 - squared))


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the given order. NaN counts as 1.

    The k-th smallest of m values p becomes the running maximum of (m - k + 1) p, at most 1. A
    hypothesis is rejected if its adjusted p value is at most the level.
    """
    raw = [1.0 if math.isnan(p) else p for p in p_values]
    adjusted, running = [0.0] * len(raw), 0.0
    for rank, index in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        running = max(running, min(1.0, (len(raw) - rank) * raw[index]))
        adjusted[index] = running
    return adjusted


def judge_table(evidence: Sequence[Evidence | None], *, unseen: int = 0) -> list[Verdict]:
    """Return the verdict of each line of a table, corrected by Holm's method.

    A line without evidence has "no verdict", and is not counted as a test. ``unseen`` further lines
    count as tests with p = 1. A difference shown to be within the margin is "equivalent".
    """
    tested = [item for item in evidence if item is not None]
    different, equivalent = (
        holm_adjusted([*(getattr(item, p) for item in tested), *[1.0] * unseen])[: len(tested)]
        for p in ("p_difference", "p_equivalence")
    )
    adjusted = iter(zip(different, equivalent, strict=True))
    return [
        "no verdict" if item is None else verdict_at_level(item.difference, *next(adjusted), LEVEL)
        for item in evidence
    ]


def claim(evidence: Evidence | None, level: float = LEVEL) -> Verdict:
    """Return the verdict of a pair by itself, at a given level.

    Without evidence it is "no verdict". A significant difference within the margin is
    "inconclusive", since :func:`judge_table` may find the same pair "equivalent".
    """
    if evidence is None:
        return "no verdict"
    verdict = verdict_at_level(
        evidence.difference, evidence.p_difference, evidence.p_equivalence, level
    )
    if verdict in ("better", "worse") and abs(evidence.difference) <= evidence.margin:
        return "inconclusive"
    return verdict


def level_of_test(number: int, rows: int, level: float = LEVEL) -> float:
    """Return the significance level for one of ``rows`` rows at analysis ``number`` >= 1.

    The levels of all rows and analyses sum to ``level``, however many analyses follow.
    """
    return 6 / math.pi**2 * level / number**2 / rows


def verdict_at_level(
    difference: float, p_difference: float, p_equivalence: float, level: float
) -> Verdict:
    """Return the verdict on a difference (positive: worse) from its p values, corrected or not."""
    if p_equivalence <= level:
        return "equivalent"
    if p_difference <= level:
        return "better" if difference < 0 else "worse"
    return "inconclusive"
