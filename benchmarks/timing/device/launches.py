"""Launches of a call on a GPU, and the kernels that run. At small batches they make up the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch")
"""Prefixes of the CUDA calls that start work on the device; a replayed graph is one."""


class Launches(NamedTuple):
    """Counts of one call.

    Attributes:
        host: CUDA calls that start kernels or graphs.
        kernels: that ran on the device, copies and fills included.
    """

    host: int
    kernels: int


def launches(work: Callable[[], object]) -> Launches:
    """Count the launches of one call, by torch's profiler; it is called once."""
    from torch.profiler import ProfilerActivity, profile  # slow to import, for this only

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    events = list(profiler.events() or ())
    return Launches(
        sum(event.name.startswith(LAUNCHES) for event in events),
        sum("CUDA" in str(event.device_type) for event in events),
    )
