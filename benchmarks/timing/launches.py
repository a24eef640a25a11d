"""How often a call goes to the device: kernels that it launches on a GPU, operators that it calls on a
CPU. At small batches that is what the time is made of.
"""

from __future__ import annotations

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
"""Beginnings of the names of the CUDA calls that start work on the device; a replayed graph is one."""


def launches(work: Callable[[], object], device: str) -> int:
    """Launches of one call, by torch's profiler: CUDA calls that start kernels or graphs, or on a CPU
    operators that no other operator called.
    """
    if device.startswith("cuda"):
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            work()
        names = [event.name for event in seen.events() or ()]
        return sum(name.startswith(LAUNCHES) for name in names)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    return sum(
        event.name.startswith("aten::") and event.cpu_parent is None
        for event in seen.events() or ()
    )
