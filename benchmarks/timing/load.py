"""Load of the machine by the kernel's counters, as reasons to distrust times.

Three views, since each is missing somewhere: the time that this process's own threads were ready to
run and had no core (schedstat; on any Linux, in containers too), the busy time of the whole machine
(/proc/stat), and the limits of the container (cgroup).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
CGROUP_STAT = ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat")
CONTENT = 0.02
"""Share of time below which load is ignored: a kernel always has some work."""
OTHERS = 0.10
"""Share of the machine that other processes may take: they slow caches, memory and turbo clocks
before they take a core.
"""
SHORT = 0.2
"""Seconds below which ticks of 10 ms say nothing about the machine."""


class Load(NamedTuple):
    """Counters at one moment, or their growth over an interval: only differences and their sums
    have a meaning.

    Attributes:
        wall: seconds of the monotonic clock.
        cpu: seconds of processor time of this process, all threads.
        waited: seconds that its threads were ready and had no core; None if unknown.
        busy: seconds of processor time of the whole machine, over all cores; None where unknown.
        stolen: seconds that a hypervisor took from all cores; None where unknown.
        throttled: how often the cgroup's limit stopped the process.
    """

    wall: float = 0.0
    cpu: float = 0.0
    waited: float | None = 0.0
    busy: float | None = 0.0
    stolen: float | None = 0.0
    throttled: int = 0

    @classmethod
    def of_this_moment(cls) -> Load:
        """Read the counters."""
        busy, stolen = _machine_seconds()
        return cls(
            time.perf_counter(),
            time.process_time(),
            _wait_for_cores(),
            busy,
            stolen,
            _throttle_count(),
        )

    def since(self, earlier: Load) -> Load:
        """Return the growth since ``earlier``.

        A counter that fell, as when a thread ended, has not grown.
        """
        return Load(
            *(  # type: ignore[arg-type]
                None if a is None or b is None else max(type(a)(0), a - b)
                for a, b in zip(self, earlier, strict=True)
            )
        )

    def and_(self, other: Load) -> Load:
        """Return the growth over both of two intervals."""
        return Load(
            *(None if a is None or b is None else a + b for a, b in zip(self, other, strict=True))  # type: ignore[arg-type]
        )


def cpu_doubts(load: Load, cores: int, threads: int) -> list[str]:
    """Return the reasons to distrust times taken during an interval; empty for none.

    Args:
        load: the growth of the counters over the interval.
        cores: of the machine.
        threads: that the timed work may use.
    """
    doubts, own = [], load.cpu + (load.waited or 0.0)
    if load.waited is not None and load.waited > CONTENT * max(own, TICK):
        doubts.append(f"waited for a core {load.waited / own:.0%} of the time")
    elif load.waited is None and threads == 1 and load.cpu < (1 - 5 * CONTENT) * load.wall:
        doubts.append(f"had a core only {load.cpu / load.wall:.0%} of the time")
    if load.wall >= SHORT:
        others = max(0.0, (load.busy or 0.0) - load.cpu)
        if others > OTHERS * cores * load.wall:
            doubts.append(f"other processes kept {others / load.wall:.1f} of {cores} cores busy")
        if (load.stolen or 0.0) > CONTENT / 2 * cores * load.wall:
            doubts.append(
                f"the hypervisor took {(load.stolen or 0.0) / (cores * load.wall):.0%} of the cores"
            )
    if load.throttled:
        doubts.append(f"the container's CPU limit stopped it {load.throttled} times")
    return doubts


def _wait_for_cores() -> float | None:
    """Return the run-queue delay of this process's threads in seconds (second number of
    schedstat).
    """
    total, is_known = 0, False
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread may end in between
            total, is_known = total + int(path.read_text().split()[1]), True
    return total / 1e9 if is_known else None


def _machine_seconds() -> tuple[float | None, float | None]:
    """Return busy and stolen seconds over all cores: the first line of /proc/stat, in ticks (user
    nice system idle iowait irq softirq steal).
    """
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
