r"""Ratios of wall times: medians of raw times, with an interval, if the times may be compared.

The interval is Price and Bonett's (2002): with the order statistics x_(c) and x_(n-c+1) of n times,
c = (n + 1) / 2 - sqrt(n) rounded and at least 1, which enclose the median with the exact binomial
probability 1 - 2 P(B <= c - 1), B ~ Bin(n, 1/2),

    SE(log median) = (log x_(n-c+1) - log x_(c)) / (2 z),        z = Phi^-1(1 - P(B <= c - 1)),

and log(median_b / median_a) is normal with the two variances added. It knows the scatter within a
run, not what differs between two days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any

from ...text import Z95
from .medians import FEWEST

CONDITIONS = (
    "timing_device",
    "timing_device_name",
    "timing_threads",
    "timing_batch_size",
    "timing_execution",
    "timing_tf32",
    "timing_cudnn_benchmark",
)
"""Columns that must be equal for two times to be compared."""


@dataclass(frozen=True)
class Ratio:
    """The ratio of two medians.

    Attributes:
        log: its logarithm, candidate over baseline; positive is slower.
        se: standard error of ``log``.
    """

    log: float
    se: float

    @property
    def value(self) -> float:
        """Ratio of the two medians."""
        return math.exp(self.log)

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of the 95 % interval of the ratio."""
        return math.exp(self.log - Z95 * self.se), math.exp(self.log + Z95 * self.se)


@dataclass(frozen=True)
class NoRatio:
    """Reason why two times are not compared.

    Attributes:
        reason: in a phrase.
        mismatch: whether they were taken under different conditions, so that they must not be
            compared.
    """

    reason: str
    mismatch: bool = False


def time_ratio(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Ratio | NoRatio:
    """The ratio of the times in two ``timing.json``, of batches of one size.

    Or why there is none.
    """
    if reason := not_comparable(baseline, candidate):
        return reason
    times = [list(timing["raw_total_ms"]) for timing in (baseline, candidate)]
    if min(map(len, times)) < FEWEST:
        return NoRatio(f"fewer than {FEWEST} times")
    if min(map(min, times)) <= 0:
        return NoRatio("a time that is not positive")
    return median_ratio(*times)


def not_comparable(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> NoRatio | None:
    """Return the reason against a comparison of two ``timing.json``; None if there is none."""
    if not all(timing.get("raw_total_ms") for timing in (baseline, candidate)):
        return NoRatio("no raw times")
    for name in CONDITIONS:
        a, b = (timing.get(name) for timing in (baseline, candidate))
        if a != b:
            return NoRatio(
                f"{name.removeprefix('timing_').replace('_', ' ')} differs: {a} and {b}",
                mismatch=True,
            )
    flags = (timing.get("timing_flag") for timing in (baseline, candidate))
    flag = next(filter(None, flags), "")
    return NoRatio(f"flagged: {flag}") if flag else None


def median_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> Ratio:
    """The ratio of the medians of positive times, at least :data:`FEWEST` each."""
    (log_a, se_a), (log_b, se_b) = map(log_median, (baseline, candidate))
    return Ratio(log_b - log_a, math.hypot(se_a, se_b))


def log_median(times: Sequence[float]) -> tuple[float, float]:
    """Log of the median of positive numbers, at least :data:`FEWEST`, and its standard error."""
    n, ordered = len(times), sorted(times)
    c = max(1, round((n + 1) / 2 - math.sqrt(n)))
    outside = sum(math.comb(n, k) for k in range(c)) / 2**n
    z = NormalDist().inv_cdf(1 - outside)
    return math.log(median(ordered)), (math.log(ordered[n - c]) - math.log(ordered[c - 1])) / (
        2 * z
    )
