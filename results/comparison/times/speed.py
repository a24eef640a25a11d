"""Verdicts on the faster of two samplers, on which two clocks must agree.

The times of two cells of one timing pass were taken side by side in every round, so their ratios in
each round are compared: the drift of the machine cancels. The interval belongs to the median ratio,
from order statistics (:mod:`.medians`). Times of different passes are compared by their medians
(:mod:`.walltime`).

Each clock says "faster" or "slower" where the 95 % interval of the ratio leaves out 1, and "same"
where it lies within a margin of 1. A verdict is given if both say the same. A lowered clock or a
busy core changes seconds alone; a change of cycles alone costs a user no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

from .medians import FEWEST, median_interval
from .walltime import NoRatio, Ratio, median_ratio, not_comparable

MARGIN = 0.01
"""Ratios within this of 1 do not matter."""

Word = Literal["same", "faster", "slower", "ambiguous"]


class Speed(NamedTuple):
    """Ratio of two times, candidate over baseline, with its verdict.

    Attributes:
        verdict: of both clocks.
        ratio, low, high: by the first clock, with its 95 % interval; None where the times must not be
            compared.
        second_ratio: by the second clock; None where there is none.
        reason: why the verdict is "ambiguous", where more than the intervals says so; "" otherwise.
    """

    verdict: Word
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    second_ratio: float | None = None
    reason: str = ""


def speed(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], margin: float = MARGIN
) -> Speed:
    """The verdict on two ``timing.json``, of batches of one size.

    Args:
        baseline: the record that 1 stands for.
        candidate: the other record.
        margin: share of the baseline's time that does not matter.
    """
    if reason := not_comparable(baseline, candidate):
        return Speed("ambiguous", reason=reason.reason)
    first = _ratio(baseline, candidate, "raw_total_ms")
    if isinstance(first, NoRatio):
        return Speed("ambiguous", reason=first.reason)
    kinds = {timing.get("timing_second_clock") for timing in (baseline, candidate)}
    if len(kinds) > 1 or not all(kinds):
        return Speed("ambiguous", *first, reason="there is one clock only")
    second = _ratio(baseline, candidate, "raw_second")
    if isinstance(second, NoRatio):
        return Speed("ambiguous", *first, reason=f"second clock: {second.reason}")
    word = _word(first, margin)
    return Speed(word if word == _word(second, margin) else "ambiguous", *first, second[0])


def _ratio(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], name: str
) -> tuple[float, float, float] | NoRatio:
    """The median ratio by one clock and the ends of its 95 % interval."""
    times = [list(timing.get(name) or ()) for timing in (baseline, candidate)]
    if not all(map(_positive, times)):
        return NoRatio("a time that is missing or not positive")
    if _side_by_side(baseline, candidate):
        rounds = (timing["raw_rounds"] for timing in (baseline, candidate))
        a, b = (dict(zip(at, of, strict=True)) for at, of in zip(rounds, times, strict=True))
        logs = [math.log(b[number] / a[number]) for number in a.keys() & b.keys()]
        if len(logs) < FEWEST:
            return NoRatio(f"fewer than {FEWEST} rounds in common")
        low, high = median_interval(logs)
        return math.exp(median(logs)), math.exp(low), math.exp(high)
    if min(map(len, times)) < FEWEST:
        return NoRatio(f"fewer than {FEWEST} times")
    ratio: Ratio = median_ratio(*times)
    return ratio.value, *ratio.ends


def _side_by_side(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    passes = {timing.get("timing_pass") for timing in (baseline, candidate)}
    return len(passes) == 1 and bool(passes.pop()) and "raw_rounds" in baseline


def _positive(times: Sequence[float | None]) -> bool:
    return bool(times) and all(time is not None and time > 0 for time in times)


def _word(ratio: tuple[float, float, float], margin: float) -> Word:
    _, low, high = ratio
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return "same"
    return "slower" if low > 1 else "faster" if high < 1 else "ambiguous"
