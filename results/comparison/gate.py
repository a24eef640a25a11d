"""Gate for continuous integration: tests whether a candidate is worse than a baseline by a margin.

Each check is a pair of one-sided tests, corrected by Holm over all checks. If the hypothesis "worse
by at most the margin" is rejected, the check is a regression. If "worse by the margin or more" is
rejected, it is a pass. Otherwise the check is inconclusive, which does not fail the gate. A change
without effect fails at most one gate in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

from ..printed_values import printed_value
from ..quantities import Quantity, judged
from ..text import format_number
from .compare import (
    check_margin,
    choose_quantities,
    match_finished_cells,
    no_shared_cell_error,
    row_in_words,
)
from .pairing import Entry, Matches, Pair, Source, match_cells, quantities_in_all, read_source
from .significance import LEVEL, Evidence, holm_adjusted
from .times import NoRatio, time_ratio
from .verdicts import judge

LOST = "no value in the candidate"

_TABLED = ("ms_per_sample", "ms_low", "ms_high")

Outcome = Literal["passed", "regression", "inconclusive"]


@dataclass(frozen=True)
class Check:
    """Check of a row: ``what`` is a metric, "nfe", "time" or "status"; ``detail`` has values or a reason."""

    row: str
    what: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class GateReport:
    """Result of :func:`gate`: the checks of all rows."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Return True if no check is a regression."""
        return not self.checks_with_outcome("regression")

    def checks_with_outcome(self, outcome: Outcome) -> list[Check]:
        """Return the checks with a given outcome."""
        return [check for check in self.checks if check.outcome == outcome]


def gate(
    baseline: Path | str,
    candidate: Path | str,
    *,
    quality_margin: float = 0.01,
    time_margin: float | None = 0.05,
    metrics: Sequence[str] = ("all",),
) -> GateReport:
    """Check whether rows of a run are worse than the same rows of a baseline run; return a report.

    Args:
        baseline: run directory or table file.
        candidate: run directory or table file.
        quality_margin: share of the baseline's value by which a metric may get worse, and by which
            evaluations may rise, >= 0 (:func:`.verdicts.judge`).
        time_margin: share by which the median time may rise, >= 0; None skips times.
        metrics: columns to check; ("all",) for all that both runs have.

    Raises:
        ValueError: the runs differ in suite version, model or estimator, share no cell, lack a
            metric, have nothing to compare, or have times from different machines or settings;
            or a margin is negative.
    """
    for margin in (quality_margin, time_margin or 0.0):
        check_margin(margin)
    a, b = read_source(baseline), read_source(candidate)
    matches = match_finished_cells(a, b)
    without = unfinished_cell_checks(matches, b)
    if not matches.pairs:
        if all(check.outcome != "regression" for check in without):
            raise no_shared_cell_error(a, b)
        # a candidate that finished nothing has no metrics to choose
        return GateReport(tuple(without))
    times = []
    if time_margin is not None:
        times = [draft for pair in matches.pairs if (draft := _time_check(pair, time_margin))]
    available = quantities_in_all((a, b), judged())
    only_times = times and not available and tuple(metrics) == ("all",)
    chosen = [] if only_times else choose_quantities(metrics, available)
    if "all" in metrics:  # a metric that no row of the candidate has any more is named as lost
        chosen += [q for q in quantities_in_all((a,), judged()) if q not in available]
    pairs = product(chosen, matches.pairs)
    drafts = [draft for q, pair in pairs if (draft := _quality_check(pair, q, quality_margin))]
    counts = [c for pair in matches.pairs if (c := _count_check(pair, quality_margin))]
    return GateReport((*_correct_checks([*drafts, *times]), *counts, *without))


Draft = tuple[Check, Evidence | None]
"""Check before correction, with outcome "inconclusive", and its evidence (None: no test)."""


def _quality_check(pair: Pair, quantity: Quantity, share: float) -> Draft | None:
    judgement, name = judge(pair, quantity, share), row_in_words(pair.candidate.record)
    if judgement is None:  # a value that is not finite is stored as none
        lost = pair.baseline.estimate(quantity) and not pair.candidate.estimate(quantity)
        return (Check(name, quantity.name, "inconclusive", LOST), None) if lost else None
    sides, se = (judgement.baseline, judgement.candidate), judgement.gap.se
    detail = " → ".join(format_number(printed_value(quantity.name, side.value)) for side in sides)
    detail += f" ± {format_number(se, 2)}" if se is not None else ""
    detail += f" ({judgement.reason})" if judgement.reason else ""
    return Check(name, quantity.name, "inconclusive", detail), judgement.evidence


def _count_check(pair: Pair, share: float) -> Check | None:
    """Return a regression if the candidate's evaluations exceed the baseline's beyond the margin."""
    counts = pair.evaluations
    if counts is None or counts[1] <= counts[0] * (1 + share):
        return None
    detail = " → ".join(map(format_number, counts))
    return Check(row_in_words(pair.candidate.record), "nfe", "regression", detail)


def _time_check(pair: Pair, share: float) -> Draft | None:
    """Return the check of a pair's times; None if the baseline's row was not timed.

    Raises a ValueError if the times are from different machines or settings.
    """
    first, second = pair.baseline.timing, pair.candidate.timing
    name, margin = row_in_words(pair.candidate.record), math.log1p(share)
    tabled = [[entry.record.get(column) for column in _TABLED] for entry in pair]
    if not first and tabled[0][0] is None:
        return None
    # a run against itself: identical measurements, not equal medians
    if first == second and (first.get("raw_total_ms") or (not first and tabled[0] == tabled[1])):
        detail, evidence = "the same times", Evidence(0.0, 0.0, margin)
    elif isinstance(ratio := time_ratio(first, second), NoRatio):
        if ratio.mismatch:
            raise ValueError(
                f"the times of {name} cannot be compared: {ratio.reason}; "
                "time both runs alike, or give --no-time"
            )
        detail, evidence = ratio.reason, None
    else:
        value, low, high = map(format_number, ratio.interval)
        detail, evidence = f"× {value} [{low}, {high}]", Evidence(ratio.log, ratio.se, margin)
    return Check(name, "time", "inconclusive", detail), evidence


def _correct_checks(drafts: Sequence[Draft]) -> list[Check]:
    tested = [evidence for _, evidence in drafts if evidence is not None]
    beyond = iter(holm_adjusted([evidence.p_beyond for evidence in tested]))
    within = iter(holm_adjusted([evidence.p_within for evidence in tested]))
    checks = []
    for check, evidence in drafts:
        if evidence is not None:
            worse, fine = next(beyond) <= LEVEL, next(within) <= LEVEL
            outcome = "regression" if worse else "passed" if fine else "inconclusive"
            check = replace(check, outcome=outcome)
        checks.append(check)
    return checks


def unfinished_cell_checks(matches: Matches, candidate: Source) -> list[Check]:
    """Return checks of rows that only the baseline finished.

    A row that failed in the candidate is a regression. A missing or skipped row is inconclusive.
    """
    without = match_cells(matches.only_baseline, [Entry(row) for row in candidate.failed])
    checks = []
    for pair in without.pairs:
        name, row = row_in_words(pair.baseline.record), pair.candidate.record
        reason, status = f": {row['reason']}" if row.get("reason") else "", row["status"]
        failed = status in ("failed", "diverged", "crashed", "timed out")
        outcome: Outcome = "regression" if failed else "inconclusive"
        checks.append(Check(name, "status", outcome, f"ok → {status}{reason}"))
    return checks + [
        Check(row_in_words(entry.record), "status", "inconclusive", "not in the candidate")
        for entry in without.only_baseline
    ]
