"""Time of one call on a device by two clocks, and warm-up.

A second clock that does not count seconds separates a slower sampler from a slower machine:

* on a GPU the cycles of its multiprocessors, which a lower clock does not change;
* on a CPU the processor time of all threads, which other processes do not change.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from .sm_clock import SmClock

AGREEMENT = 0.02
MEDIAN_OF, MOST_MEDIANS = 3, 20


class Reading(NamedTuple):
    """Time of one call.

    Attributes:
        ms: milliseconds on the device: between CUDA events on a GPU, of the monotonic clock on a
            CPU.
        wall_ms: milliseconds of the monotonic clock until the device is idle again; equal to ``ms``
            on a CPU.
        second: by the second clock (:attr:`Clock.second`); None without one.
    """

    ms: float
    wall_ms: float
    second: float | None = None


class Clock:
    """Clock of calls on a device.

    Args:
        device: "cpu" or "cuda".
        sm_clock: clock of the multiprocessors; None for none, as on a CPU.

    Attributes:
        second: unit of the second clock.
    """

    def __init__(self, device: str, sm_clock: SmClock | None = None) -> None:
        self._cuda, self._sm_clock = device.startswith("cuda"), sm_clock
        self.second = (sm_clock.name if sm_clock else "") if self._cuda else "ms of processor time"

    def time(self, work: Callable[[], object]) -> Reading:
        """Time one call until it is complete on the device."""
        return self._on_gpu(work) if self._cuda else _on_cpu(work)

    def _on_gpu(self, work: Callable[[], object]) -> Reading:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        if self._sm_clock is not None:
            self._sm_clock.start()
        torch.cuda.synchronize()
        begin = time.perf_counter_ns()
        start.record()
        work()
        stop.record()
        torch.cuda.synchronize()
        wall_ms = (time.perf_counter_ns() - begin) / 1e6
        ms = start.elapsed_time(stop)
        mhz = self._sm_clock.mhz() if self._sm_clock is not None else None
        return Reading(ms, wall_ms, None if mhz is None else 1e3 * mhz * ms)


def _on_cpu(work: Callable[[], object]) -> Reading:
    begin, used = time.perf_counter_ns(), time.process_time_ns()
    work()
    ms = (time.perf_counter_ns() - begin) / 1e6
    return Reading(ms, ms, (time.process_time_ns() - used) / 1e6)


def warm_up(
    work: Callable[[], object], clock: Callable[[Callable[[], object]], Reading], most_ms: float
) -> bool:
    """Repeat a call until two consecutive medians of three agree within 2 %.

    Args:
        work: the call.
        clock: times it.
        most_ms: gives up after this time, or after 20 medians.

    Returns:
        True if they agreed.
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
