"""Verdicts on pairs of rows: what their difference allows to conclude, corrected over all pairs.

Every claim that one row is better than another comes from here, in two corrections:

* :func:`judge_lines`: the lines of a table, each row against its baseline (Holm);
* :class:`Panel`: any rows of a page against any others, so that the lowest may be compared with all
(Bonferroni over all pairs). Where it calls a row better, the table of :func:`judge_lines` does too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..quantities import Quantity, quantities
from ..record import Record
from ..table.curves import Tuning, tuning_of
from ..text import interval_ends
from ..values import number, text
from .estimates import Difference, Estimate, difference, is_dominated
from .pairing import Entry, Pair
from .shares import PairedShares
from .significance import LEVEL, Evidence, Verdict, claim, judge_table
from .times import NoRatio, Word, speed_verdict, time_ratio

MARGIN = 0.01
"""Differences below this share of the baseline do not matter, unless the reader says otherwise."""

FLOOR_ERRORS = 10
"""The margin is a share of at least so many standard errors of the floor."""


COINCIDE = 1e-5
"""Relative difference of values that is rounding: all methods agree in one step to 0."""

SIDES = ("tuning", "baseline_tuning")


@dataclass(frozen=True, eq=False)
class Judgement:
    """Difference of two rows by one quantity, before correction for other comparisons.

    ``gap`` is candidate less baseline, negative is better; ``margin`` the largest that does not
    matter; ``reason`` says why there is no verdict.
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
        """Evidence for a verdict; None where there is a reason against one."""
        gap = self.gap
        if self.reason or gap.se is None:
            return None
        if gap.changed is not None:
            return PairedShares(gap.value, gap.se, self.margin, *gap.changed, gap.paired)
        return Evidence(gap.value, gap.se, self.margin)

    @property
    def has_equal_values(self) -> bool:
        """Return True if the values are equal but for rounding."""
        return math.isclose(self.baseline.value, self.candidate.value, rel_tol=COINCIDE)


def judge(pair: Pair, quantity: Quantity, share: float = MARGIN) -> Judgement | None:
    """Judge two rows by a quantity, lower is better; None if one of them has no value.

    Identical numbers have a difference of 0 with standard error 0: a run is equivalent to itself.
    ``share`` of the baseline's value does not matter.
    """
    a, b = (entry.estimate(quantity) for entry in pair)
    if a is None or b is None:
        return None
    margin = _margin_of_value(pair, quantity, a, share)
    if a.same(b) and _is_same_row(pair, quantity, a, b):
        gap = Difference(0.0, 0.0, int(number(pair.candidate.record, "samples") or 0))
        return Judgement(pair, quantity, a, b, gap, margin, "")
    gap = difference(a, b, same_latents=pair.same_latents)
    return Judgement(pair, quantity, a, b, gap, margin, _pair_refusal(pair, quantity, gap))


def _is_same_row(pair: Pair, quantity: Quantity, a: Estimate, b: Estimate) -> bool:
    """Return True if rows of the same estimate are one: per sample if known, else in all columns."""
    first, second = (entry.record for entry in pair)
    has_samples = a.influence is not None and b.influence is not None
    # two samplers without a flip are not one sampler
    if has_samples and quantity.summary != "share":
        return True
    panelled = [name for other in quantities() if other.note for name in (other.name, other.se)]
    shared = [name for name in panelled if None not in (first.get(name), second.get(name))]
    return all(first.get(name) == second.get(name) for name in ("seed", "nfe", "samples", *shared))


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows, by their place in a table, that may all be compared by one quantity.

    Verdicts are corrected for a number of pairs (:func:`panels_corrected_together`).
    """

    entries: dict[int, Entry]
    quantity: Quantity
    within_budget: int = 0
    across_budgets: int = 0

    def is_refused(self, index: int) -> bool:
        """Return True if a row gets no verdict against any other."""
        return bool(_row_refusal(self.entries[index].record, self.quantity))

    def judgement(self, candidate: int, baseline: int) -> Judgement | None:
        """Return the judgement on two rows, given their indices; None if one of them has no value."""
        item = judge(Pair(self.entries[baseline], self.entries[candidate]), self.quantity)
        back = item and _margin_of_value(item.pair, self.quantity, item.candidate, MARGIN)
        # the same whichever of the two is called the baseline
        return item and replace(item, margin=max(item.margin, back or 0.0))

    def verdict(self, candidate: int, baseline: int) -> Verdict:
        """Return the verdict on one row against another, by index, at the level of all pairs."""
        judgement = self.judgement(candidate, baseline)
        slots = [number(self.entries[place].record, "slot") for place in (candidate, baseline)]
        tests = self.within_budget if slots[0] == slots[1] else self.across_budgets
        return claim(judgement and judgement.evidence, LEVEL / max(tests, 1))


def panels_corrected_together(panels: Iterable[Panel], unseen: int = 0) -> list[Panel]:
    """Return the panels of one page with verdicts corrected over all their pairs."""
    panels = list(panels)
    rows = unseen + sum(len(panel.entries) for panel in panels)
    within = across = math.comb(rows, 2) if unseen else 0  # each might be at one budget
    for panel in panels if not unseen else ():
        slots = [number(entry.record, "slot") for entry in panel.entries.values()]
        same = sum(math.comb(slots.count(slot), 2) for slot in set(slots))
        within, across = within + same, across + math.comb(len(slots), 2) - same
    return [replace(panel, within_budget=within, across_budgets=across) for panel in panels]


@dataclass(frozen=True)
class Line:
    """Comparison by one metric; ``difference`` is candidate less baseline, and lower is better.

    ``low`` and ``high`` are the 95 % interval of this line by itself; ``verdict`` is corrected for
    the number of lines, ``time_verdict`` (:func:`.times.speed_verdict`) is not. ``paired`` counts the
    samples from the same latents; 0 where the rows were taken as independent. ``tuning`` and
    ``baseline_tuning`` are None where schedules are not tuned.
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
    time_verdict: Word
    tuning: Tuning | None = None
    baseline_tuning: Tuning | None = None

    @property
    def flat(self) -> dict[str, Any]:
        """Values by column; tuned rows have additional columns."""
        row = asdict(self)
        for name in SIDES:
            row |= {f"{name}_{key}": value for key, value in (row.pop(name) or {}).items()}
        return row


def judge_lines(
    pairs: Sequence[tuple[Pair, Quantity]], margin: float = MARGIN, *, unseen: int = 0
) -> list[Line]:
    """Return a line per pair that has the quantity, corrected over all and ``unseen`` more."""
    items = [judgement for pair, quantity in pairs if (judgement := judge(pair, quantity, margin))]
    table = judge_table([item.evidence for item in items], unseen=unseen)
    return [
        _line_of_judgement(judgement, verdict)
        for judgement, verdict in zip(items, table, strict=True)
    ]


def _margin_of_value(pair: Pair, quantity: Quantity, baseline: Estimate, share: float) -> float:
    """Return the share of the value, or of ten times the resolution, that does not matter."""
    if quantity.summary == "share":
        return share
    name = quantity.resolution
    resolution = max(number(entry.record, name) or 0.0 for entry in pair) if name else 0.0
    return share * max(baseline.value, FLOOR_ERRORS * resolution, 0.0)


_DOMINATED = "dominated by the model's own error; see fd_conv"


def _pair_refusal(pair: Pair, quantity: Quantity, gap: Difference) -> str:
    """Return the reason why a pair of rows gets no verdict by a quantity; "" if there is none."""
    refusals = [_row_refusal(entry.record, quantity) for entry in pair]
    if _DOMINATED in refusals:
        return _DOMINATED
    return next(filter(None, refusals), "" if gap.se is not None else "no standard error")


def _row_refusal(row: Record, quantity: Quantity) -> str:
    """Return the reason why a row gets no verdict against any other; "" if there is none."""
    if quantity.to_data and is_dominated(row):
        return _DOMINATED
    if quantity.summary == "root mean square" and number(row, quantity.apart) is None:
        return "measured before its verdicts allowed for flips; run it again"
    flag = text(row, quantity.flag) if quantity.flag else ""
    return f"flagged: {flag}" if flag else ""


def _line_of_judgement(judgement: Judgement, verdict: Verdict) -> Line:
    pair, gap = judgement.pair, judgement.gap
    row, timings = pair.candidate.record, (pair.baseline.timing, pair.candidate.timing)
    slot, steps = number(row, "slot"), number(row, "steps")
    low, high = (None, None) if gap.se is None else interval_ends(gap.value, gap.se)
    ratio = time_ratio(*timings)
    no_ratio = isinstance(ratio, NoRatio)
    times = (None, None, None, ratio.reason) if no_ratio else (ratio.value, *ratio.ends, "")
    return Line(
        text(row, "model"),
        text(row, "curve"),
        None if slot is None else int(slot),
        None if steps is None else int(steps),
        text(row, "schedule"),
        text(pair.baseline.record, "curve"),
        judgement.quantity.name,
        judgement.baseline.value,
        judgement.candidate.value,
        *(gap.value, gap.se, low, high),
        *(judgement.margin, gap.paired, verdict, judgement.reason),
        *times,
        speed_verdict(*timings).verdict,
        tuning_of(row),
        tuning_of(pair.baseline.record),
    )
