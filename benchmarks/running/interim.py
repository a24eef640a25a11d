r"""Interim analyses of a run that is extended until decided: the evidence on each row, and whether
it closes the row.

A table of m rows is analysed with N, 2 N, 4 N, … samples, until each row is decided. Analysis k may
spend

    alpha_k = (6 / pi²) alpha / k²,        sum over all k: alpha,

so that the number of analyses need not be known beforehand (alpha spending: Lan and DeMets 1983),
and each row an m-th of it: a row is decided at analysis k by the tests of
:class:`~samplerbench.results.comparison.significance.Evidence` at the level t = alpha_k / m.

Claim: for any dependence of rows and analyses, the chance of any false decision in the table, at
any analysis, is at most alpha.

Proof. A decision is false if it says "better" where d >= 0, "worse" where d <= 0, or "equivalent"
where |d| >= margin. At level t its chance is at most t for each d. If d = 0, it is a two-sided test
that fails. If 0 < |d| < margin, only the sign can be wrong: t / 2. Let d >= margin and mu = margin
/ se. "Equivalent" has a chance of at most t - Phi(z - 2 mu) with Phi(-z) = t, and a wrong sign one
of at most Phi(-z' - mu) with Phi(-z') = t / 2: together no more than t if mu <= z + z', and beyond
that no more than t + Phi(-2 z' - z) < (1 + 3e-7) t. The sum over rows and analyses is alpha. □

The sums are Bonferroni's and suppose nothing; analyses share samples, so the true rate is lower.
Holm's step-down would not do here: a row that is rightly called worse can still be called
equivalent wrongly, so deciding it does not leave fewer false claims to guard against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...results.comparison.pairing import Entry, Pair, against
from ...results.comparison.significance import LEVEL, Evidence, Verdict, verdict_at
from ...results.comparison.verdicts import Judgement, judge
from ...results.quantities import find
from ...results.record import Record
from ...results.text import ends
from ...results.values import number, text
from ..suites.suite import Until

UNDECIDED = "undecided"

FUTILE = 0.8
"""Share of the variance from the reference's own samples above which more samples of a row no
longer help.
"""

Row = dict[str, Any]
"""Row: ``model``, ``curve``, ``budget``, ``samples``, ``verdict``, ``reason``, ``look``, and the
numbers of the verdict.

``verdict`` is the result of a comparison, "precise" (its standard error is as small as requested),
"futile" (more samples would not decide it), "not compared", "failed" (its samples are gone, with
the numbers of earlier analyses) or "undecided".
"""


def level_at(look: int, rows: int, level: float = LEVEL) -> float:
    """Return the level of a test of one of ``rows`` rows at analysis 1, 2, ….

    The levels of all rows and analyses sum to ``level``.
    """
    return 6 / math.pi**2 * level / look**2 / rows


def decision(evidence: Evidence, level: float) -> Verdict:
    """Return the verdict of one row by itself at a level."""
    return verdict_at(evidence.difference, evidence.p_difference, evidence.p_equivalence, level)


def looked_at(entries: Sequence[Entry], until: Until, level: float) -> dict[str, Row]:
    """Return the rows by cell, each judged by itself at a level.

    Rows of the baseline are included only if a precision is requested.
    """
    pairs = {cell_of(pair.candidate): pair for pair in _pairs(entries, until)}
    rows = {}
    for entry in entries:
        key = cell_of(entry)
        if in_question(entry.record, until):
            rows[key] = _row(entry.record) | _comparison(pairs.get(key), until, level)
            if rows[key]["verdict"] in (UNDECIDED, "futile", "not compared"):
                rows[key] |= _precise(entry, until)
    return rows


def failed_at(failed: Sequence[Record], until: Until) -> dict[str, Row]:
    """Return the rows without results by cell, closed as "failed": earlier analyses used other
    samples.
    """
    rows = [row for row in failed if in_question(row, until)]
    return {
        text(row, "cell"): _row(row) | {"verdict": "failed", "reason": _failure(row)}
        for row in rows
    }


def in_question(row: Record, until: Until) -> bool:
    """Return True if a row is judged: the baseline's are not, unless a precision is requested."""
    return until.target_se is not None or text(row, "sampler") != until.baseline


def _failure(row: Record) -> str:
    return ": ".join(part for part in (text(row, "status"), text(row, "reason")) if part)


def cell_of(entry: Entry) -> str:
    """Return the name of an entry's cell."""
    return text(entry.record, "cell")


def _row(row: Record) -> Row:
    budget = number(row, "slot") or number(row, "steps")
    return {
        "model": text(row, "model"),
        "curve": text(row, "curve"),
        "budget": budget and int(budget),
        "samples": row["samples"],
    }


def _pairs(entries: Sequence[Entry], until: Until) -> list[Pair]:
    """Return the comparable rows, with their baselines."""
    quantity = find(until.column)
    measured = [entry for entry in entries if entry.estimate(quantity) is not None]
    has_baseline = any(text(entry.record, "sampler") == until.baseline for entry in measured)
    return (
        against(measured, until.baseline).pairs
        if has_baseline and until.baseline is not None
        else []
    )


def _comparison(pair: Pair | None, until: Until, level: float) -> Row:
    judgement = judge(pair, find(until.column), until.margin) if pair else None
    if pair is None or judgement is None:
        reason = (
            f"no row of {until.baseline} to compare with by {until.column}"
            if until.baseline
            else ""
        )
        return {"verdict": "not compared", "reason": reason}
    gap, reason = judgement.gap, judgement.reason
    verdict = decision(judgement.evidence, level) if judgement.evidence else "inconclusive"
    if verdict == "inconclusive":
        verdict, reason = _undecided_or_futile(judgement)
    low, high = (None, None) if gap.se is None else ends(gap.value, gap.se)
    numbers = {
        "difference": gap.value,
        "se": gap.se,
        "low": low,
        "high": high,
        "margin": judgement.margin,
    }
    return {"against": cell_of(pair.baseline), **numbers, "verdict": verdict, "reason": reason}


def _undecided_or_futile(judgement: Judgement) -> tuple[str, str]:
    """Return "undecided", or "futile" if more samples cannot decide a row, and the reason."""
    a, b, gap = judgement.baseline, judgement.candidate, judgement.gap
    if (
        a.reference is None
        or b.reference is None
        or b.influence is None
        or not gap.paired
        or not gap.se
    ):
        return UNDECIDED, judgement.reason
    fixed = float((b.reference - a.reference).var(ddof=1)) / len(b.reference)
    if len(b.reference) < len(b.influence) and fixed > FUTILE * gap.se**2:
        return "futile", (
            f"{len(b.reference)} reference samples limit it: raise "
            "converged_samples, or compare by another metric"
        )
    return UNDECIDED, judgement.reason


def _precise(entry: Entry, until: Until) -> Row:
    """Return the verdict "precise" if a row's own standard error is as small as requested.

    A flagged one never is.
    """
    quantity = find(until.column)
    estimate = entry.estimate(quantity)
    if until.target_se is None or estimate is None or estimate.se is None:
        return {}
    flag = text(entry.record, quantity.flag)
    reached = not flag and estimate.se <= until.target_se
    reason = f"standard error of {quantity.name} {estimate.se:.2g}" + (
        f"; flagged: {flag}" if flag else ""
    )
    return {"verdict": "precise" if reached else UNDECIDED, "reason": reason}
