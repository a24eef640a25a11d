"""Verdicts on pairs of rows, corrected for the number of pairs.

Every claim that one row is better than another comes from this module, except the claims of
``advise`` on a race (:mod:`samplerbench.benchmarks.advice.wording`). The rule from p values to a
verdict is :func:`.significance.verdict_at_level`. There are two corrections:

* :func:`judge_lines` compares each row with its baseline row, and corrects by Holm's method.
* :class:`ComparedRows` compares any two rows of a page, and corrects by Bonferroni over all pairs.
  A row that the class calls better than its baseline is better by :func:`judge_lines` too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import starmap
from typing import Any

from ..quantities import Quantity, quantities
from ..table.curves import Tuning, tuning_of
from ..values import Record, number, text
from .estimates import Difference, Estimate, difference, is_dominated
from .pairing import Entry, Pair, cell_identity
from .sample_shares import PairedShares
from .significance import LEVEL, Evidence, Verdict, claim, judge_table
from .times import NoRatio, Speed, speed_verdict, time_ratio

MARGIN = 0.01
"""Default margin: differences up to this share of the baseline's value do not matter."""

FLOOR_ERRORS = 10
"""Factor F: a margin is a share of the larger of the value and F times the resolution."""

COINCIDE = 1e-5
"""Largest relative difference of values that counts as rounding."""

SIDES = ("tuning", "baseline_tuning")  # fields of a Line


@dataclass(frozen=True, eq=False)
class Judgement:
    """Difference of two rows by one quantity, before correction for other comparisons.

    ``gap`` is candidate less baseline. Gaps up to ``margin`` do not matter.
    ``reason`` says why there can be no verdict; "" if a verdict is possible.
    """

    pair: Pair
    quantity: Quantity
    baseline: Estimate
    candidate: Estimate
    gap: Difference
    margin: float
    reason: str

    @property
    def evidence(self) -> Evidence | None:
        """Evidence for a verdict; None if there can be no verdict."""
        gap = self.gap
        if self.reason or gap.se is None:
            return None
        if gap.changed is not None:
            return PairedShares(gap.value, gap.se, self.margin, *gap.changed, gap.paired)
        return Evidence(self.quantity.loss(gap.value), gap.se, self.margin, df=gap.df)

    @property
    def has_equal_values(self) -> bool:
        """Return True if the two values are equal but for rounding."""
        return math.isclose(self.baseline.value, self.candidate.value, rel_tol=COINCIDE)


def judge(pair: Pair, quantity: Quantity, share: float = MARGIN) -> Judgement | None:
    """Return the judgement on two rows by a quantity; None if a row has no value of the quantity.

    The margin is ``share`` of the baseline's value or, if larger, of ten times the resolution. For
    shares of samples the margin is ``share`` itself. For values in dB, ``share`` is a share of the
    error before the logarithm. Identical rows of one cell differ by 0 with error 0, so they are
    equivalent. Other samplers with identical samples may differ in samples that were not drawn.
    """
    a, b = (entry.estimate(quantity) for entry in pair)
    if a is None or b is None:
        return None
    margin = _margin_of_value(pair, quantity, a, share)
    is_one_cell = cell_identity(pair.baseline.record) == cell_identity(pair.candidate.record)
    if is_one_cell and a.same(b) and _is_same_row(pair, quantity, a, b):
        gap = Difference(0.0, 0.0, int(number(pair.candidate.record, "samples") or 0))
        return Judgement(pair, quantity, a, b, gap, margin, "")
    gap = difference(a, b, same_latents=pair.same_latents)
    reason = _pair_refusal(pair, quantity, gap)
    is_rms = quantity.summary == "root mean square"  # as the resolution is
    if not reason and is_rms and max(a.value, b.value) < _resolution(pair, quantity):
        reason = "below the resolution of the reference solutions"
    return Judgement(pair, quantity, a, b, gap, margin, reason)


def _is_same_row(pair: Pair, quantity: Quantity, a: Estimate, b: Estimate) -> bool:
    """Return True if columns and arrays show that two equal estimates are of the same samples."""
    first, second = (entry.record for entry in pair)
    has_samples = a.influence is not None and b.influence is not None
    # equal shares do not show equal samples, as of two samplers without flips
    if has_samples and quantity.summary != "share":
        return True
    panelled = [name for other in quantities() if other.note for name in (other.name, other.se)]
    shared = [name for name in panelled if None not in (first.get(name), second.get(name))]
    return all(first.get(name) == second.get(name) for name in ("seed", "nfe", "samples", *shared))


@dataclass(frozen=True, eq=False)
class ComparedRows:
    """Rows of a table, by index, of which any two can be compared by one quantity.

    Verdicts on rows of one budget are corrected for ``within_budget`` tests, verdicts on rows of
    two budgets for ``across_budgets`` tests. :func:`correct_together` sets both numbers.
    """

    entries: dict[int, Entry]
    quantity: Quantity
    within_budget: int = 0
    across_budgets: int = 0

    def leaders(self, baseline: str = "") -> dict[int, Entry]:
        """Return the row with the best value at each budget; of equal ones, a row of ``baseline``."""

        def rank(entry: Entry) -> tuple[float, bool]:
            value = number(entry.record, self.quantity.name) or 0.0
            return self.quantity.loss(value), not entry.is_of(baseline)

        leaders: dict[int, Entry] = {}
        for entry in sorted(self.entries.values(), key=rank):
            if entry.budget is not None:
                leaders.setdefault(entry.budget, entry)
        return dict(sorted(leaders.items()))

    def is_refused(self, entry: Entry) -> bool:
        """Return True if a row gets no verdict against any other."""
        return bool(_row_refusal(entry.record, self.quantity))

    def judgement(self, candidate: Entry, baseline: Entry) -> Judgement | None:
        """Return the judgement on two rows by the larger of both margins; None without a value."""
        item = judge(Pair(baseline, candidate), self.quantity)
        back = item and _margin_of_value(item.pair, self.quantity, item.candidate, MARGIN)
        # symmetric, so that the order of the two rows decides nothing
        return item and replace(item, margin=max(item.margin, back or 0.0))

    def verdict(self, candidate: Entry, baseline: Entry) -> Verdict:
        """Return the verdict on the candidate row against the baseline row, after correction."""
        judgement = self.judgement(candidate, baseline)
        is_within = candidate.budget == baseline.budget
        tests = self.within_budget if is_within else self.across_budgets
        return claim(judgement and judgement.evidence, LEVEL / max(tests, 1))


def correct_together(groups: Iterable[ComparedRows], unseen: int = 0) -> list[ComparedRows]:
    """Return the groups, corrected for all pairs of rows, as if there were ``unseen`` more rows."""
    groups = list(groups)
    rows = unseen + sum(len(group.entries) for group in groups)
    within = across = math.comb(rows, 2) if unseen else 0  # unseen rows might all be at one budget
    for group in groups if not unseen else ():
        budgets = Counter(entry.budget for entry in group.entries.values())
        same = sum(math.comb(count, 2) for count in budgets.values())
        within, across = within + same, across + math.comb(len(group.entries), 2) - same
    return [replace(group, within_budget=within, across_budgets=across) for group in groups]


@dataclass(frozen=True)
class Line:
    """Comparison of a row with its baseline by one metric, as a line of a table.

    ``difference`` is candidate less baseline, ``time_ratio`` candidate over baseline. ``verdict``
    is corrected for the number of lines. The 95 % intervals (``low`` to ``high``, ``time_low`` to
    ``time_high``) and :func:`.times.speed_verdict` are uncorrected. ``paired`` counts samples from
    shared latents, 0 without pairs. ``tuning`` and ``baseline_tuning`` are None for untuned rows.
    """

    model: str
    sampler: str
    budget: int | None
    steps: int | None
    schedule: str
    baseline: str
    metric: str
    baseline_value: float
    value: float
    difference: float
    se: float | None
    low: float | None
    high: float | None
    margin: float
    paired: int
    verdict: Verdict
    reason: str
    time_ratio: float | None
    time_low: float | None
    time_high: float | None
    time_reason: str
    time_verdict: Speed
    tuning: Tuning | None = None
    baseline_tuning: Tuning | None = None
    estimator: str = ""

    @property
    def flat(self) -> dict[str, Any]:
        """Values by column name. Tuned rows have additional columns."""
        row = asdict(self)
        for name in SIDES:
            row |= {f"{name}_{key}": value for key, value in (row.pop(name) or {}).items()}
        return row


def judge_lines(
    pairs: Sequence[tuple[Pair, Quantity]], margin: float = MARGIN, *, unseen: int = 0
) -> list[Line]:
    """Return a line for each pair with values; verdicts allow for all lines and ``unseen`` more."""
    items = [judgement for pair, quantity in pairs if (judgement := judge(pair, quantity, margin))]
    table = judge_table([item.evidence for item in items], unseen=unseen)
    return list(starmap(_line_of_judgement, zip(items, table, strict=True)))


def _margin_of_value(pair: Pair, quantity: Quantity, baseline: Estimate, share: float) -> float:
    """Return the largest difference that does not matter, in the units of the value, >= 0."""
    if quantity.summary == "share":
        return share
    if quantity.unit == "dB":  # a logarithm: the share is of the error that it is taken of
        return 20 * math.log10(1 + share)
    return share * max(baseline.value, FLOOR_ERRORS * _resolution(pair, quantity), 0.0)


def _resolution(pair: Pair, quantity: Quantity) -> float:
    """Return the larger resolution of two rows' reference solutions; 0 if they are exact."""
    name = quantity.resolution
    return max(number(entry.record, name) or 0.0 for entry in pair) if name else 0.0


_DOMINATED = "dominated by the model's own error; see fd_conv"


def _pair_refusal(pair: Pair, quantity: Quantity, gap: Difference) -> str:
    """Return the reason against a verdict on a pair of rows by a quantity; "" if there is none."""
    refusals = [_row_refusal(entry.record, quantity) for entry in pair]
    if quantity.same and len({text(entry.record, quantity.same) for entry in pair}) > 1:
        refusals.append(f"{quantity.same} differs")
    if _DOMINATED in refusals:
        return _DOMINATED
    return next(filter(None, refusals), "" if gap.se is not None else "no standard error")


def _row_refusal(row: Record, quantity: Quantity) -> str:
    """Return the reason against any verdict on a row by a quantity; "" if there is none."""
    if quantity.to_data and is_dominated(row):
        return _DOMINATED
    is_mean = quantity.summary in ("root mean square", "mean")
    if is_mean and quantity.apart and number(row, quantity.apart) is None:
        return "measured before its verdicts allowed for flips; run it again"
    flag = text(row, quantity.flag) if quantity.flag else ""
    return f"flagged: {flag}" if flag else ""


def _line_of_judgement(judgement: Judgement, verdict: Verdict) -> Line:
    pair, gap = judgement.pair, judgement.gap
    row, timings = pair.candidate.record, (pair.baseline.timing, pair.candidate.timing)
    steps = number(row, "steps")
    low, high = gap.interval or (None, None)
    ratio = time_ratio(*timings)
    no_ratio = isinstance(ratio, NoRatio)
    times = (None, None, None) if no_ratio else ratio.interval
    return Line(
        text(row, "model"),
        pair.candidate.curve,
        pair.candidate.budget,
        None if steps is None else int(steps),
        text(row, "schedule"),
        pair.baseline.curve,
        judgement.quantity.name,
        judgement.baseline.value,
        judgement.candidate.value,
        *(gap.value, gap.se, low, high),
        *(judgement.margin, gap.paired, verdict, judgement.reason),
        *times,
        ratio.reason if no_ratio else "",
        speed_verdict(*timings).verdict,
        tuning_of(row),
        tuning_of(pair.baseline.record),
        text(row, "estimator"),
    )
