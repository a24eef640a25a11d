"""Disturbances of a timed block of calls, as reasons to distrust its times.

Three counters of the Linux kernel show the load, since each is missing on some machines. schedstat
has the time that this process's threads were ready and had no core. /proc/stat has the busy time of
the whole machine. The cgroup counts how often a container's limit stopped the process.
"""

from __future__ import annotations

import gc
import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .clock import CallTimes
from .gpu_state import Gpu, GpuState, gpu_doubts

TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
CGROUP_STAT = ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat")
TOLERATED_WAIT = 0.02
"""Largest ignored share of time spent waiting for a core; two other checks use multiples of it."""
OTHERS = 0.10
"""Largest share of the machine that other processes may take before times are doubted."""
SHORT = 0.2  # shortest interval in seconds over which counters in ticks of 10 ms are used


class LoadCounters(NamedTuple):
    """Counters of load at one moment, or their growth over an interval; None for unknown values."""

    wall: float = 0.0  # seconds of the monotonic clock
    cpu: float = 0.0  # seconds of processor time of all threads of this process
    waited: float | None = 0.0  # seconds that threads of this process were ready without a core
    busy: float | None = 0.0  # seconds of processor time of the whole machine, over all cores
    stolen: float | None = 0.0  # seconds that a hypervisor took from all cores
    throttled: int = 0  # number of times that the cgroup's limit stopped the process

    @classmethod
    def of_this_moment(cls) -> LoadCounters:
        """Return the present counters."""
        busy, stolen = _machine_seconds()
        wall, cpu = time.perf_counter(), time.process_time()
        return cls(wall, cpu, _run_queue_seconds(), busy, stolen, _throttle_count())

    def since(self, earlier: LoadCounters) -> LoadCounters:
        """Return the growth since ``earlier``; 0 for counters that fell, as when a thread ends."""
        return self._combined(earlier, lambda now, before: max(type(now)(0), now - before))

    def plus(self, other: LoadCounters) -> LoadCounters:
        """Return the sum of the growths over two intervals."""
        return self._combined(other, operator.add)

    def _combined(self, other: LoadCounters, combine: Callable[[Any, Any], Any]) -> LoadCounters:
        pairs = zip(self, other, strict=True)
        grown: list[Any] = [None if None in pair else combine(*pair) for pair in pairs]
        return LoadCounters(*grown)


def cpu_doubts(load: LoadCounters, cores: int, threads: int) -> list[str]:
    """Return the reasons to distrust times taken while the counters grew by ``load``, as texts.

    ``cores`` is the machine's number of cores; the timed work may use ``threads`` threads.
    """
    doubts, own = [], load.cpu + (load.waited or 0.0)
    if load.waited is not None and load.waited > TOLERATED_WAIT * max(own, TICK):
        doubts.append(f"waited for a core {load.waited / own:.0%} of the time")
    elif load.waited is None and threads == 1 and load.cpu < (1 - 5 * TOLERATED_WAIT) * load.wall:
        doubts.append(f"had a core only {load.cpu / load.wall:.0%} of the time")
    if load.wall >= SHORT:
        others = max(0.0, (load.busy or 0.0) - load.cpu)
        if others > OTHERS * cores * load.wall:
            doubts.append(f"other processes kept {others / load.wall:.1f} of {cores} cores busy")
        if (load.stolen or 0.0) > TOLERATED_WAIT / 2 * cores * load.wall:
            doubts.append(
                f"the hypervisor took {(load.stolen or 0.0) / (cores * load.wall):.0%} of the cores"
            )
    if load.throttled:
        doubts.append(f"the container's CPU limit stopped it {load.throttled} times")
    return doubts


def _run_queue_seconds() -> float | None:
    """Return the seconds that this process's threads waited for a core; None if unknown."""
    total, is_known = 0, False
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread may end in between
            total, is_known = total + int(path.read_text().split()[1]), True
    return total / 1e9 if is_known else None


def _machine_seconds() -> tuple[float | None, float | None]:
    """Return all cores' busy and stolen seconds from /proc/stat; (None, None) if unknown."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None, None
    return (user + nice + system + irq + softirq) * TICK, steal * TICK


def _throttle_count() -> int:
    for path in CGROUP_STAT:
        with suppress(OSError, ValueError, StopIteration), open(path, encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("nr_throttled")).split()[1])
    return 0


APART, APART_MS = 0.05, 0.1
"""Allowed difference of wall clock and CUDA events: the larger of a share and of ms per call."""


@dataclass
class BlockObservations:
    """Load, GPU state and memory use during one block of timed calls."""

    load: LoadCounters = field(default_factory=LoadCounters)  # growth of the load counters
    state: GpuState | None = None  # at the end of the block; None on a CPU or without NVML
    peak: int | None = None  # most bytes that torch allocated on the GPU; None on a CPU
    memory_requests: int = 0  # slow requests of torch's allocator to the driver


@contextmanager
def observe_block(device: str, gpu: Gpu | None) -> Iterator[BlockObservations]:
    """Yield observations, filled in at the end of the block; garbage is not collected in it."""
    block, cuda, segments = BlockObservations(), device.startswith("cuda"), 0
    collects = gc.isenabled()
    gc.disable()
    try:
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            segments = _count_segments()
        before = LoadCounters.of_this_moment()
        yield block
        block.load = LoadCounters.of_this_moment().since(before)
        if cuda:
            block.peak = torch.cuda.max_memory_allocated()
            block.memory_requests = _count_segments() - segments
        if gpu is not None:
            block.state = gpu.state()
    finally:
        if collects:
            gc.enable()


def doubts_of_blocks(
    blocks: Sequence[BlockObservations], readings: Sequence[CallTimes]
) -> list[str]:
    """Return the reasons to distrust the times ``readings`` taken in ``blocks``; empty for none.

    Blocks are judged together, as disturbances can be too small to show in a single block.
    """
    states = [block.state for block in blocks if block.state is not None]
    reasons = cpu_doubts(total_load(blocks), os.cpu_count() or 1, torch.get_num_threads())
    reasons += gpu_doubts(states) + _doubts_of_clocks(readings)
    grown = sum(block.memory_requests for block in blocks)
    return reasons + ([f"torch asked the driver for memory {grown} times"] if grown else [])


def total_load(blocks: Sequence[BlockObservations]) -> LoadCounters:
    """Return the sum over blocks of the growth of the load counters."""
    return reduce(LoadCounters.plus, (block.load for block in blocks), LoadCounters())


def raw_observations(blocks: Sequence[BlockObservations]) -> dict[str, object]:
    """Return the load of all blocks together, and [min, max] of each known GPU value, by name."""
    ranges: dict[str, object] = {}
    states = [block.state for block in blocks if block.state is not None]
    for name, values in zip(GpuState._fields, zip(*states, strict=True), strict=False):
        if known := [value for value in values if value is not None]:
            ranges[f"gpu_{name}"] = [min(known), max(known)]
    return {**total_load(blocks)._asdict(), **ranges}


def _count_segments() -> int:
    """Return how many memory segments torch's allocator has requested from the driver so far."""
    return int(torch.cuda.memory_stats().get("segment.all.allocated", 0))


def _doubts_of_clocks(readings: Sequence[CallTimes]) -> list[str]:
    """Return a reason in a list if wall clock and CUDA events disagree in total, else []."""
    ms, wall = sum(r.ms for r in readings), sum(r.wall_ms for r in readings)
    if abs(wall - ms) <= max(APART * wall, APART_MS * len(readings)):
        return []
    return [
        f"wall clock {wall / ms - 1:+.0%} against CUDA events" if ms else "CUDA events saw nothing"
    ]
