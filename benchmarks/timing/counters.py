"""Clocks and counters of this machine."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from .gpu import Gpu
from .load import Load

RAPL = Path("/sys/class/powercap")
TRIES = 2000


def counters() -> dict[str, Any]:
    """Return the available sources of times, load and energy.

    Returns:
        ``perf_counter_ns``: the smallest step of the clock that was seen, ns; ``run_queue``,
            ``machine_load``: True if the kernel reports the wait for a core, and the load of all
            cores; ``cuda_events``; ``nvml``, ``gpu_energy``: True if NVML answers, and counts
            energy; ``rapl``: the processor's energy counter is "readable", "not readable" or
            "absent".
    """
    load, gpu = Load.of_this_moment(), Gpu.of_torch()
    return {
        "perf_counter_ns": resolution_ns(),
        "run_queue": load.waited is not None,
        "machine_load": load.busy is not None,
        "cuda_events": torch.cuda.is_available(),
        "nvml": gpu is not None,
        "gpu_energy": gpu is not None and gpu.joules() is not None,
        "rapl": _rapl(),
    }


def resolution_ns() -> int:
    """Return the smallest difference > 0 of two readings of ``perf_counter_ns``, reading
    included.
    """
    times = [time.perf_counter_ns() for _ in range(TRIES)]
    return min((later - sooner for sooner, later in pairwise(times) if later > sooner), default=0)


def _rapl() -> str:
    counts = list(RAPL.glob("intel-rapl:*/energy_uj"))
    if not counts:
        return "absent"
    return "readable" if all(os.access(path, os.R_OK) for path in counts) else "not readable"
