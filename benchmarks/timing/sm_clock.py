"""Clock of a GPU's multiprocessors during a call: from two counters read by a kernel before and
after, or else by NVML afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Protocol

import torch

from .gpu import Gpu

CYCLES, NANOSECONDS = 0, 1


class SmClock(Protocol):
    """Mean clock of the multiprocessors between two moments.

    Attributes:
        name: its unit, and its source.
    """

    name: str

    def start(self) -> None:
        """Mark the first moment, in the order of the work on the device."""
        ...

    def mhz(self) -> float | None:
        """Return the clock from the mark until now, when the device is idle; None if unknown."""
        ...


def sm_clock(gpu: Gpu | None) -> SmClock | None:
    """Return the best clock of the machine for the current CUDA device; None for none."""
    with suppress(Exception):  # no Triton, or one that cannot compile here
        kernel = import_module(f"{__package__}.sm_counters").read_counters
        counters = Counters(kernel)
        counters.start()
        if (counters.mhz() or 0.0) > 0:
            return counters
    return ClockOfNvml(gpu) if gpu is not None and gpu.state().sm_clock else None


class Counters:
    """Clock from the counters of multiprocessor 0.

    Args:
        read: a kernel that writes its cycles and the nanoseconds of the GPU's timer into an int64
            tensor ``(2,)`` on the device.
    """

    name = "SM cycles"

    def __init__(self, read: Callable[[torch.Tensor], object]) -> None:
        self._read = read
        self._before, self._after = (torch.zeros(2, dtype=torch.int64, device="cuda") for _ in "ab")

    def start(self) -> None:
        """See :class:`SmClock`."""
        self._read(self._before)

    def mhz(self) -> float | None:
        """See :class:`SmClock`."""
        self._read(self._after)
        grown = (self._after - self._before).tolist()
        return 1e3 * grown[CYCLES] / grown[NANOSECONDS] if grown[NANOSECONDS] > 0 else None


class ClockOfNvml:
    """Clock that NVML reports at the end, renewed a few times a second only."""

    name = "SM cycles, by NVML's clock"

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def start(self) -> None:
        """See :class:`SmClock`."""

    def mhz(self) -> float | None:
        """See :class:`SmClock`."""
        return self._gpu.state().sm_clock
