"""Steadiness of the machine: one fixed piece of work, timed repeatedly, and the counters
meanwhile.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from ...results.comparison.times.medians import median_interval
from .clock import Clock
from .load import Load, cpu_doubts

SIDE = {"cpu": 384, "cuda": 4096}
"""Side of the square matrices whose product is the work: milliseconds on one core or a GPU."""
STEADY, USABLE = 0.02, 0.10
"""Relative interquartile range up to which single times are steady, and up to which medians of many
are usable.
"""


@dataclass(frozen=True)
class Steadiness:
    """Times of the same work.

    Attributes:
        ms: median, milliseconds.
        spread: interquartile range relative to the median.
        half_width: half of the 95 % interval of the median, relative to it.
        slowest: the largest time relative to the median.
        runs: number of times.
        doubts: findings of the counters; empty for none.
    """

    ms: float
    spread: float
    half_width: float
    slowest: float
    runs: int
    doubts: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Verdict on times taken on this machine, in one sentence."""
        if self.doubts or self.spread > USABLE:
            why = "; ".join(self.doubts) or (
                f"the same work took times that spread by {self.spread:.0%}"
            )
            return f"Times taken here now are not to be trusted: {why}."
        if self.spread > STEADY:
            return (
                "Medians of many times can be trusted, single ones cannot: the same "
                f"work took times that spread by {self.spread:.0%}."
            )
        return (
            "Times taken here can be trusted: the same work took times that spread by "
            f"{self.spread:.1%}."
        )


def steadiness(device: str, seconds: float = 1.5) -> Steadiness:
    """Time products of two fixed matrices for some seconds.

    Args:
        device: "cpu" or "cuda".
        seconds: how long, after a fifth of it to warm up.
    """
    a = torch.linspace(-1, 1, SIDE[device] ** 2, device=device).reshape(SIDE[device], -1)
    clock, before = Clock(device), Load.of_this_moment()
    times: list[float] = []
    for phase in (seconds / 5, seconds):
        times, before, begin = [], Load.of_this_moment(), time.perf_counter()
        while not times or time.perf_counter() - begin < phase:
            times.append(clock.time(lambda: a @ a).ms)
    doubts = cpu_doubts(
        Load.of_this_moment().since(before), os.cpu_count() or 1, torch.get_num_threads()
    )
    return _summary(times, tuple(doubts))


def _summary(times: list[float], doubts: tuple[str, ...]) -> Steadiness:
    median, (low, high) = statistics.median(times), median_interval(times)
    quarter, three = np.percentile(times, [25, 75])
    return Steadiness(
        median,
        float(three - quarter) / median,
        (high - low) / 2 / median,
        max(times) / median,
        len(times),
        doubts,
    )
