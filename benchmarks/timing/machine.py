"""Facts about the machine, read from the operating system and from torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

CGROUP, CGROUP_1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu")
CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def describe_host() -> dict[str, Any]:
    """Return fixed facts of the host by name: system, processor, cores, limits, memory, Python."""
    return {
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "cpu_limit": cpu_limit(),
        "memory_mb": _memory_in_mb(),
        "governor": _read_text(CPUFREQ / "scaling_governor"),
        "python": platform.python_version(),
    }


def package_version() -> str:
    """Return the version of the installed samplerbench; "unknown" if it is not installed."""
    try:
        return importlib.metadata.version("samplerbench")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def load_averages() -> dict[str, Any]:
    """Return the load averages over 1, 5 and 15 minutes as ``load_average``; None if unknown."""
    with suppress(OSError, AttributeError):
        return {"load_average": [round(load, 2) for load in os.getloadavg()]}
    return {"load_average": None}


def describe_device(device: str) -> dict[str, Any]:
    """Return a device's type and name; for a GPU also bytes of memory, CUDA, driver, power cap."""
    if not device.startswith("cuda"):
        return {"type": "cpu", "name": cpu_name()}
    from .gpu_state import Gpu

    properties, gpu = torch.cuda.get_device_properties(0), Gpu.of_current_device()
    about = gpu.describe() if gpu else {"driver": None, "power_limit_w": None}
    return {
        "type": "cuda",
        "name": properties.name,
        "memory": properties.total_memory,
        "cuda": torch.version.cuda,
        **about,
    }


def cpu_name() -> str:
    """Return the processor's model name, or its architecture if unknown."""
    for line in (_read_text(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_limit() -> float | None:
    """Return how many cores' time the cgroup (v2, else v1) allows; None for no or unknown limit."""
    quota, _, period = (_read_text(CGROUP / "cpu.max") or "").partition(" ")
    if not quota:
        quota = _read_text(CGROUP_1 / "cpu.cfs_quota_us") or ""
        period = _read_text(CGROUP_1 / "cpu.cfs_period_us") or ""
    with suppress(ValueError):
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _memory_in_mb() -> int | None:
    with suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return None


def _read_text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return None
