"""Wall times: medians with exact intervals, their ratios, and the faster of two samplers.

The interval of a ratio of medians is Price and Bonett's (2002): with the order statistics x_(c) and
x_(n-c+1) of n times, c = (n + 1) / 2 - sqrt(n) rounded and at least 1, which enclose the median
with the exact binomial probability 1 - 2 P(B <= c - 1), B ~ Bin(n, 1/2),

    SE(log median) = (log x_(n-c+1) - log x_(c)) / (2 z),        z = Phi^-1(1 - P(B <= c - 1)),

and log(median_b / median_a) is normal with the two variances added. It knows the scatter within a
run, not what differs between two days.

Times of one timing pass were taken side by side in every round, so their ratios in each round are
compared: the drift of the machine cancels. Each clock says "faster" or "slower" where the interval
of the ratio leaves out 1, and "same" within a margin of 1. Two clocks must agree: a lowered clock
or a busy core changes seconds alone, and a change of cycles alone costs a user no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, median
from typing import Any, Literal, NamedTuple

from ..text import interval_ends

FEWEST = 6
"""Fewer times have no 95 % interval: the range of five covers the median in 94 % of cases."""


def median_interval(times: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest symmetric pair of order statistics that covers the median at >= 95 %.

    Independent times lie below their median like tosses of a coin, so [t_(k+1), t_(n-k)] misses it
    with probability 2 P(B <= k), B being binomial (n, 1/2) (David and Nagaraja, Order Statistics,
    section 7.1). The whole range below ``FEWEST`` times, which covers less.

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
    while 40 * below <= 2**n:  # integers: 2 below / 2^n <= 1 / 20
        k += 1
        below += math.comb(n, k + 1)
    return k


def is_settled(times: Sequence[float], half_width: float, fewest: int) -> bool:
    """Return True if the median's interval is within the relative ``half_width``."""
    if len(times) < max(fewest, FEWEST):
        return False
    low, high = median_interval(times)
    return (high - low) / 2 <= half_width * median(times)


CONDITIONS = (
    *("timing_device", "timing_device_name", "timing_threads", "timing_batch_size"),
    *("timing_execution", "timing_tf32", "timing_cudnn_benchmark"),
)
"""Columns that must be equal for two times to be compared."""


@dataclass(frozen=True)
class Ratio:
    """Ratio of two medians: its logarithm, candidate over baseline, and the standard error of that."""

    log: float
    se: float

    @property
    def value(self) -> float:
        """Ratio of the two medians."""
        return math.exp(self.log)

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of the 95 % interval of the ratio."""
        low, high = interval_ends(self.log, self.se)
        return math.exp(low), math.exp(high)


@dataclass(frozen=True)
class NoRatio:
    """Reason why two times are not compared; ``mismatch`` is True where their conditions differ."""

    reason: str
    mismatch: bool = False


def time_ratio(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Ratio | NoRatio:
    """Return the ratio of the times in two ``timing.json``, or why there is none."""
    if reason := why_not_comparable(baseline, candidate):
        return reason
    times = [list(timing["raw_total_ms"]) for timing in (baseline, candidate)]
    if min(map(len, times)) < FEWEST:
        return NoRatio(f"fewer than {FEWEST} times")
    if min(map(min, times)) <= 0:
        return NoRatio("a time that is not positive")
    return median_ratio(*times)


def why_not_comparable(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> NoRatio | None:
    """Return the reason against a comparison of two ``timing.json``; None if there is none."""
    if not all(timing.get("raw_total_ms") for timing in (baseline, candidate)):
        return NoRatio("no raw times")
    for name in CONDITIONS:
        a, b = (timing.get(name) for timing in (baseline, candidate))
        if a != b:
            what = name.removeprefix("timing_").replace("_", " ")
            return NoRatio(f"{what} differs: {a} and {b}", mismatch=True)
    flags = (timing.get("timing_flag") for timing in (baseline, candidate))
    flag = next(filter(None, flags), "")
    return NoRatio(f"flagged: {flag}") if flag else None


def median_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> Ratio:
    """Return the ratio of the medians of positive times, at least :data:`FEWEST` each."""
    (log_a, se_a), (log_b, se_b) = map(log_median, (baseline, candidate))
    return Ratio(log_b - log_a, math.hypot(se_a, se_b))


def log_median(times: Sequence[float]) -> tuple[float, float]:
    """Return the log of the median of :data:`FEWEST` or more positive numbers, and its error."""
    n, ordered = len(times), sorted(times)
    c = max(1, round((n + 1) / 2 - math.sqrt(n)))
    outside = sum(math.comb(n, k) for k in range(c)) / 2**n
    z = NormalDist().inv_cdf(1 - outside)
    width = math.log(ordered[n - c]) - math.log(ordered[c - 1])
    return math.log(median(ordered)), width / (2 * z)


MARGIN = 0.01
"""Ratios within this of 1 do not matter."""

Word = Literal["same", "faster", "slower", "ambiguous"]


class SpeedVerdict(NamedTuple):
    """Verdict on speed, and the ratio by the first clock with its 95 % interval."""

    verdict: Word
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def speed_verdict(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> SpeedVerdict:
    """Return the verdict on two ``timing.json`` of batches of one size."""
    if reason := why_not_comparable(baseline, candidate):
        return SpeedVerdict("ambiguous", reason=reason.reason)
    first = _ratio_by_clock(baseline, candidate, "raw_total_ms")
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
) -> tuple[float, float, float] | NoRatio:
    times = [list(timing.get(name) or ()) for timing in (baseline, candidate)]
    if not all(times) or any(time is None or time <= 0 for side in times for time in side):
        return NoRatio("a time that is missing or not positive")
    passes = {timing.get("timing_pass") for timing in (baseline, candidate)}
    if len(passes) == 1 and passes.pop() and "raw_rounds" in baseline:  # taken side by side
        rounds = (timing["raw_rounds"] for timing in (baseline, candidate))
        a, b = (dict(zip(at, of, strict=True)) for at, of in zip(rounds, times, strict=True))
        logs = [math.log(b[number] / a[number]) for number in a.keys() & b.keys()]
        if len(logs) < FEWEST:
            return NoRatio(f"fewer than {FEWEST} rounds in common")
        low, high = median_interval(logs)
        return math.exp(median(logs)), math.exp(low), math.exp(high)
    if min(map(len, times)) < FEWEST:
        return NoRatio(f"fewer than {FEWEST} times")
    ratio = median_ratio(*times)
    return ratio.value, *ratio.ends


def _speed_word(ratio: tuple[float, float, float]) -> Word:
    _, low, high = ratio
    if low >= 1 / (1 + MARGIN) and high <= 1 + MARGIN:
        return "same"
    return "slower" if low > 1 else "faster" if high < 1 else "ambiguous"
