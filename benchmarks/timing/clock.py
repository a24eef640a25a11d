"""The time of one call on a device, and warm-up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

AGREEMENT = 0.02
MEDIAN_OF, MOST_MEDIANS = 3, 20


class Reading(NamedTuple):
    """One time of one call.

    Attributes:
        ms: milliseconds on the device: between CUDA events on a GPU, of the monotonic clock on a
            CPU.
        wall_ms: milliseconds of the monotonic clock until the device is idle again; equal to ``ms``
            on a CPU.
    """

    ms: float
    wall_ms: float


@dataclass
class Clock:
    """Times a call on a device.

    Attributes:
        device: "cpu" or "cuda".
    """

    device: str

    def time(self, work: Callable[[], object]) -> Reading:
        """The time of one call, complete on the device."""
        if not self.device.startswith("cuda"):
            begin = time.perf_counter_ns()
            work()
            ms = (time.perf_counter_ns() - begin) / 1e6
            return Reading(ms, ms)
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin = time.perf_counter_ns()
        start.record()
        work()
        stop.record()
        torch.cuda.synchronize()
        return Reading(start.elapsed_time(stop), (time.perf_counter_ns() - begin) / 1e6)


def warm_up(
    work: Callable[[], object], clock: Callable[[Callable[[], object]], Reading], most_ms: float
) -> bool:
    """Repeat a call until two consecutive medians of three agree within 2 %.

    Args:
        work: the call.
        clock: times it.
        most_ms: gives up after this time, or after 20 medians.

    Returns:
        Whether they agreed.
    """
    times: list[float] = []
    before = 0.0
    while len(times) < MEDIAN_OF * MOST_MEDIANS:
        times.append(clock(work).wall_ms)
        if len(times) % MEDIAN_OF == 0:
            median = statistics.median(times[-MEDIAN_OF:])
            if abs(median - before) <= AGREEMENT * median:
                return True
            before = median
        if sum(times) > most_ms:
            return False
    return False
