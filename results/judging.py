"""From pairs of rows to lines with verdicts: margins, reasons against a verdict, and the correction over all lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .estimates import Difference, Estimate, Quantity, difference
from .pairing import Pair
from .text import ends
from .tuned import Tuning, tuning_of
from .values import number, text
from .verdict import Evidence, Verdict, verdicts
from .walltime import NoRatio, time_ratio

FLOORS = 10
"""The margin is a share of this many standard errors of the floor at least: near perfection, a share of nothing is nothing."""


SIDES = ("tuning", "baseline_tuning")


@dataclass(frozen=True)
class Line:
    """One comparison by one metric; ``difference`` is candidate less baseline, and lower is better.

    Attributes:
        baseline: curve and seed of the baseline's row, as a legend names it.
        paired: samples from the same latents that the standard error rests on; 0 where the rows were taken as independent.
        low, high: ends of the 95 % interval of ``difference``, for this line by itself.
        verdict: on the whole table, corrected for the number of lines.
        reason: why there is no verdict, or no time.
        time_ratio: candidate's median time over the baseline's, with its 95 % interval.
        tuning, baseline_tuning: what tuning the schedules of the two rows took; None where they are not tuned.
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
    tuning: Tuning | None = None
    baseline_tuning: Tuning | None = None

    @property
    def flat(self) -> dict[str, Any]:
        """The values by column; what is known of tuned rows in columns of its own."""
        row = asdict(self)
        nested = {name: row.pop(name) or {} for name in SIDES}
        return row | {f"{name}_{key}": value for name, found in nested.items() for key, value in found.items()}


def judged(pairs: Sequence[tuple[Pair, Quantity]], margin: float) -> list[Line]:
    """A line for each pair of rows that both have the quantity, with verdicts corrected over all of them."""
    found = [(pair, quantity, a, b) for pair, quantity in pairs if (a := pair[0].estimate(quantity)) and (b := pair[1].estimate(quantity))]
    gaps = [difference(a, b, same_latents=pair.same_latents) for pair, _, a, b in found]
    margins = [absolute_margin(pair, quantity, a, margin) for pair, quantity, a, _ in found]
    reasons = [no_verdict(pair, quantity, gap) for (pair, quantity, _, _), gap in zip(found, gaps, strict=True)]
    evidence = [evidence_of(gap, size, reason) for gap, size, reason in zip(gaps, margins, reasons, strict=True)]
    rows = zip(found, gaps, margins, reasons, verdicts(evidence), strict=True)
    return [_line(pair, q, (a, b), gap, size, verdict, reason) for (pair, q, a, b), gap, size, reason, verdict in rows]


def absolute_margin(pair: Pair, quantity: Quantity, baseline: Estimate, share: float) -> float:
    """The largest difference that does not matter: a share of the baseline's value, or of ten times what can be resolved."""
    resolutions = [number(entry.record, quantity.resolution) or 0.0 for entry in pair] if quantity.resolution else [0.0]
    return share * max(baseline.value, FLOORS * max(resolutions), 0.0)


def evidence_of(gap: Difference, margin: float, reason: str) -> Evidence | None:
    """What a verdict may rest on; None where there is a reason against one."""
    return None if reason or gap.se is None else Evidence(gap.value, gap.se, margin)


def no_verdict(pair: Pair, quantity: Quantity, gap: Difference) -> str:
    """Why a pair of rows gets no verdict by a quantity; "" if it does."""
    rows = [entry.record for entry in pair]
    if quantity.to_data and any(_true(row.get("dominated")) for row in rows):
        return "dominated by the model's own error; see fd_conv"
    flag = next((text(row, quantity.flag) for row in rows if quantity.flag and text(row, quantity.flag)), "")
    if flag:
        return f"flagged: {flag}"
    return "" if gap.se is not None else "no standard error"


def _true(value: object) -> bool:
    """Whether a cell of a table says yes, as a flag or in words."""
    return value is True or str(value).lower() in ("true", "yes", "1")


def _line(
    pair: Pair, quantity: Quantity, values: tuple[Estimate, Estimate], gap: Difference, margin: float, verdict: Verdict, reason: str
) -> Line:
    row = pair.candidate.record
    slot, steps = number(row, "slot"), number(row, "steps")
    ratio = time_ratio(pair.baseline.timing, pair.candidate.timing)
    times = (None, None, None, ratio.reason) if isinstance(ratio, NoRatio) else (ratio.value, *ratio.ends, "")
    return Line(
        text(row, "model"), text(row, "curve"), None if slot is None else int(slot), None if steps is None else int(steps),
        text(row, "schedule"), text(pair.baseline.record, "curve"), quantity.name, values[0].value, values[1].value, gap.value, gap.se,
        *((None, None) if gap.se is None else ends(gap.value, gap.se)), margin, gap.paired, verdict, reason, *times,
        tuning_of(row), tuning_of(pair.baseline.record),
    )  # fmt: skip
