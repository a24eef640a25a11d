"""Wall times: medians with exact intervals, their ratios, and verdicts on speed.

The interval of a ratio of medians follows from the exact intervals [l, u] of the logarithms m of
both medians (:func:`median_interval`), by Zou and Donner's (2008) method for differences:

    from  m_b - m_a - hypot(m_b - l_b, u_a - m_a)   to   m_b - m_a + hypot(u_b - m_b, m_a - l_a).

Unlike a standard error from the spread of order statistics (Price and Bonett 2002), it also holds for
times with two states, such as a processor with and without turbo, whose median may be in either. The
interval covers scatter within a run, not differences between days.

Times of one timing pass were measured side by side in every round. Their ratios within rounds are
compared, so that drift of the machine cancels. A clock's verdict is "faster" or "slower" if the
interval of the ratio excludes 1, and "same" if it lies within a margin of 1. The verdicts of two
clocks, such as seconds and cycles, must agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any, Literal, NamedTuple

from ..text import Z95, Interval

FEWEST = 6
"""Least number of times for a 95 % interval; the range of five covers the median with 94 %."""


def median_interval(times: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest symmetric pair of order statistics that covers the median at >= 95 %.

    [t_(k+1), t_(n-k)] misses the median with probability 2 P(B <= k), B ~ Bin(n, 1/2) (David and
    Nagaraja, Order Statistics, section 7.1). For fewer than :data:`FEWEST` times, their range is
    returned, which covers the median less often.

    >>> median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    (1.0, 6.0)
    """
    ordered, k = sorted(times), max(0, order_statistics_outside(len(times)))
    return ordered[k], ordered[-1 - k]


@lru_cache(maxsize=4096)
def order_statistics_outside(n: int) -> int:
    """Return the largest k with 2 P(B <= k) <= 5 %, B ~ Bin(n, 1/2); -1 if there is none.

    >>> [order_statistics_outside(n) for n in (5, 6, 8, 9, 30)]
    [-1, 0, 0, 1, 9]
    """
    k, below = -1, 1
    while 40 * below <= 2**n:  # 2 below / 2^n <= 1 / 20 in integers
        k += 1
        below += math.comb(n, k + 1)
    return k


def is_settled(times: Sequence[float], half_width: float, fewest: int) -> bool:
    """Return True if the median's 95 % interval has half-width <= ``half_width`` times the median.

    With fewer than ``fewest`` times, or than :data:`FEWEST`, it is False.
    """
    if len(times) < max(fewest, FEWEST):
        return False
    low, high = median_interval(times)
    return (high - low) / 2 <= half_width * median(times)


CONDITIONS = (
    *("timing_device", "timing_device_name", "timing_threads", "timing_batch_size"),
    *("timing_execution", "timing_tf32", "timing_cudnn_benchmark"),
)
"""Items of ``timing.json`` that must be equal for two times to be compared."""


@dataclass(frozen=True)
class Ratio:
    """Ratio of median times, candidate over baseline, as a logarithm with a 95 % interval."""

    log: float
    low: float
    high: float

    @property
    def se(self) -> float:
        """Standard error of ``log``, from the longer half of the interval."""
        return max(self.high - self.log, self.log - self.low) / Z95

    @property
    def interval(self) -> Interval:
        """Ratio of the median times, > 0, with its 95 % interval."""
        return Interval(*map(math.exp, (self.log, self.low, self.high)))


@dataclass(frozen=True)
class NoRatio:
    """Reason why two times have no ratio. ``mismatch`` is True if their conditions differ."""

    reason: str
    mismatch: bool = False


def time_ratio(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Ratio | NoRatio:
    """Return the ratio of the median times in two ``timing.json``, or the reason why there is none."""
    reason = why_not_comparable(baseline, candidate)
    return reason or _median_ratio(baseline["raw_total_ms"], candidate["raw_total_ms"])


def why_not_comparable(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> NoRatio | None:
    """Return the reason against comparing the times in two ``timing.json``; None if there is none."""
    for timing in (baseline, candidate):
        if not timing.get("raw_total_ms"):
            return NoRatio(
                timing.get("timing_reason")
                or "a side has no raw times: a run with --no-timing, or a table alone"
            )
    for name in CONDITIONS:
        a, b = (timing.get(name) for timing in (baseline, candidate))
        if a != b:
            what = name.removeprefix("timing_").replace("_", " ")
            return NoRatio(f"{what} differs: {a} and {b}", mismatch=True)
    flags = (timing.get("timing_flag") for timing in (baseline, candidate))
    flag = next(filter(None, flags), "")
    return NoRatio(f"flagged: {flag}") if flag else None


def _median_ratio(*sides: Sequence[float]) -> Ratio | NoRatio:
    if min(map(len, sides)) < FEWEST:
        return NoRatio(f"fewer than {FEWEST} times")
    if min(map(min, sides)) <= 0:
        return NoRatio("a time that is not positive")
    logs = [(math.log(median(times)), *map(math.log, median_interval(times))) for times in sides]
    (a, low_a, high_a), (b, low_b, high_b) = logs
    down, up = math.hypot(b - low_b, high_a - a), math.hypot(high_b - b, a - low_a)
    return Ratio(b - a, b - a - down, b - a + up)


MARGIN = 0.01
"""Ratios from 1 / (1 + MARGIN) to 1 + MARGIN count as the same speed."""

Speed = Literal["same", "faster", "slower", "ambiguous"]


class SpeedVerdict(NamedTuple):
    """Verdict on speed, and the ratio of times, candidate over baseline, with its 95 % interval.

    The ratio is of milliseconds. A second clock, such as cycles, must give the same verdict.
    Otherwise, or without a second clock, it is "ambiguous". ``reason`` says why a clock gives no
    ratio; "" if both give one.
    """

    verdict: Speed
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def speed_verdict(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> SpeedVerdict:
    """Return the verdict on the speed of a candidate against a baseline, from their ``timing.json``."""
    mismatch = why_not_comparable(baseline, candidate)
    first = mismatch or _ratio_by_clock(baseline, candidate, "raw_total_ms")
    if isinstance(first, NoRatio):
        return SpeedVerdict("ambiguous", reason=first.reason)
    kinds = [timing.get("timing_second_clock") for timing in (baseline, candidate)]
    if kinds[0] != kinds[1] or not kinds[0]:
        return SpeedVerdict("ambiguous", *first, reason="there is one clock only")
    second = _ratio_by_clock(baseline, candidate, "raw_second")
    if isinstance(second, NoRatio):
        return SpeedVerdict("ambiguous", *first, reason=f"second clock: {second.reason}")
    word = _speed_word(first)
    return SpeedVerdict(word if word == _speed_word(second) else "ambiguous", *first)


def _ratio_by_clock(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], name: str
) -> Interval | NoRatio:
    """Return the ratio of two cells' times ``name``: within rounds of one pass, else of medians."""
    times = [list(timing.get(name) or ()) for timing in (baseline, candidate)]
    if not all(times) or any(time is None or time <= 0 for side in times for time in side):
        return NoRatio("a time that is missing or not positive")
    passes = {timing.get("timing_pass") for timing in (baseline, candidate)}
    if len(passes) == 1 and passes.pop() and "raw_rounds" in baseline:  # measured side by side
        rounds = (timing["raw_rounds"] for timing in (baseline, candidate))
        a, b = (dict(zip(at, of, strict=True)) for at, of in zip(rounds, times, strict=True))
        logs = [math.log(b[number] / a[number]) for number in a.keys() & b.keys()]
        if len(logs) < FEWEST:
            return NoRatio(f"fewer than {FEWEST} rounds in common")
        low, high = median_interval(logs)
        return Interval(math.exp(median(logs)), math.exp(low), math.exp(high))
    ratio = _median_ratio(*times)
    return ratio if isinstance(ratio, NoRatio) else ratio.interval


def _speed_word(ratio: Interval) -> Speed:
    if ratio.low >= 1 / (1 + MARGIN) and ratio.high <= 1 + MARGIN:
        return "same"
    return "slower" if ratio.low > 1 else "faster" if ratio.high < 1 else "ambiguous"
