"""Time of one call on a device by two clocks, warm-up, and speed settings of torch.

A second clock next to the wall clock tells a slower sampler from a slower machine:

* On a GPU it counts cycles of a multiprocessor, which do not depend on the clock frequency. A
  kernel reads two counters before and after a call. Without this kernel, NVML gives the frequency.
* On a CPU it is the processor time of all threads, without the time of other processes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ...results.values import Record
from .gpu_state import Gpu

if TYPE_CHECKING:
    from ..suites.suite import Timing

AGREEMENT = 0.02
MEDIAN_OF, MOST_MEDIANS = 3, 20


class CallTimes(NamedTuple):
    """Time of one call, in milliseconds and by the second clock."""

    ms: float  # between CUDA events on a GPU; of the monotonic clock on a CPU
    wall_ms: float  # of the monotonic clock until the device is idle; ms on a CPU
    second_clock: float | None = None  # in DeviceTimer.second_clock_unit; None without one


Stopwatch = Callable[[Callable[[], object]], CallTimes]
"""Function that times a call, such as :meth:`DeviceTimer.time`."""


class SmClock(NamedTuple):
    """Reader of a GPU's SM frequency: call ``start`` before the work, and ``mhz`` after it.

    ``mhz`` needs an idle device; it returns None if the frequency is unknown.
    """

    name: str
    start: Callable[[], object]
    mhz: Callable[[], float | None]


def make_frequency_reader(gpu: Gpu | None) -> SmClock | None:
    """Return the best available reader of the GPU's SM frequency; None if there is none.

    The best one gives the mean of multiprocessor 0 since ``start``. The other gives the present
    frequency from NVML, which updates it only a few times a second.
    """
    with suppress(Exception):  # no Triton, or one that cannot compile here
        counters = _clock_of_counters()
        counters.start()
        if (counters.mhz() or 0.0) > 0:
            return counters
    if gpu is None or not gpu.state().sm_clock:
        return None
    return SmClock("SM cycles, by NVML's clock", lambda: None, lambda: gpu.state().sm_clock)


def _clock_of_counters() -> SmClock:
    """Return a reader of the mean frequency of multiprocessor 0 since ``start``."""
    from .sm_counters import read_counters as read  # imported here, since it needs Triton

    before, after = (torch.zeros(2, dtype=torch.int64, device="cuda") for _ in "ab")

    def mhz() -> float | None:
        read(after)
        cycles, nanoseconds = (after - before).tolist()
        return 1e3 * cycles / nanoseconds if nanoseconds > 0 else None

    return SmClock("SM cycles", partial(read, before), mhz)


class DeviceTimer:
    """Timer of calls on a device; ``second_clock_unit`` is its second clock's unit, or ""."""

    def __init__(self, device: str, sm_clock: SmClock | None = None) -> None:
        self._cuda, self._sm_clock = device.startswith("cuda"), sm_clock
        self.second_clock_unit = (
            (sm_clock.name if sm_clock else "") if self._cuda else "ms of processor time"
        )

    def time(self, work: Callable[[], object]) -> CallTimes:
        """Run ``work`` until it is complete on the device, and return its times."""
        return self._time_on_gpu(work) if self._cuda else _time_on_cpu(work)

    def _time_on_gpu(self, work: Callable[[], object]) -> CallTimes:
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
        return CallTimes(ms, wall_ms, None if mhz is None else 1e3 * mhz * ms)


def _time_on_cpu(work: Callable[[], object]) -> CallTimes:
    begin, used = time.perf_counter_ns(), time.process_time_ns()
    work()
    ms = (time.perf_counter_ns() - begin) / 1e6
    return CallTimes(ms, ms, (time.process_time_ns() - used) / 1e6)


def warm_up(work: Callable[[], object], clock: Stopwatch, most_ms: float) -> bool:
    """Repeat ``work`` until its times are steady, and return True; False if it takes too long.

    Steady: two successive medians of three times differ by <= 2 %. Limits: ``most_ms``, 20 medians.
    """
    times: list[float] = []
    before = 0.0
    while len(times) < MEDIAN_OF * MOST_MEDIANS and sum(times) <= most_ms:
        times.append(clock(work).wall_ms)
        if len(times) % MEDIAN_OF == 0:
            median = statistics.median(times[-MEDIAN_OF:])
            if abs(median - before) <= AGREEMENT * median:
                return True
            before = median
    return False


@contextmanager
def set_backends(options: Timing) -> Iterator[Record]:
    """Set TF32 and cuDNN's search for algorithms in this context, and yield both settings."""
    backends: Any = torch.backends
    matmul, cudnn = backends.cuda.matmul, backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = cudnn.allow_tf32 = options.tf32
    cudnn.benchmark = options.cudnn_benchmark
    try:
        yield {"tf32": options.tf32, "cudnn_benchmark": options.cudnn_benchmark}
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
