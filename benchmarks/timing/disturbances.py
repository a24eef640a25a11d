"""Disturbances while a cell is timed, block by block, and the reasons that they give not to trust
its times.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from .clock import Reading
from .gpu import Gpu, GpuState, gpu_doubts
from .load import Load, cpu_doubts

APART, APART_MS = 0.05, 0.1
"""CUDA events and the wall clock may differ by this share of the time, or this many
milliseconds: launching and synchronising cost some.
"""


@dataclass
class Disturbances:
    """What was seen during the blocks of one cell.

    Attributes:
        gpu: counters of the GPU; None on a CPU or without NVML.
        load: growth of the machine's counters, summed over the blocks.
        states: of the GPU, one at the end of each block.
        peak: most bytes that torch held on the GPU; None on a CPU.
    """

    gpu: Gpu | None = None
    load: Load = field(default_factory=Load)
    states: list[GpuState] = field(default_factory=list)
    peak: int | None = None

    @contextmanager
    def block(self, device: str) -> Iterator[None]:
        """Watch the block that runs inside."""
        cuda = device.startswith("cuda")
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        before = Load.of_this_moment()
        yield
        self.load = self.load.and_(Load.of_this_moment().since(before))
        if cuda:
            self.peak = max(self.peak or 0, torch.cuda.max_memory_allocated())
        if self.gpu is not None:
            self.states.append(self.gpu.state())

    def doubts(self, readings: list[Reading]) -> str:
        """Why the times are not to be trusted, in a few words; "" if they are."""
        found = cpu_doubts(self.load, os.cpu_count() or 1, torch.get_num_threads()) + gpu_doubts(
            self.states
        )
        return "; ".join(found + _clocks_disagree(readings))

    def observed(self) -> dict[str, object]:
        """What was seen, for the raw record: seconds of the load, and the range of each number
        of the GPU.
        """
        ranges: dict[str, object] = {}
        for name in GpuState._fields:
            values = [value for state in self.states if (value := getattr(state, name)) is not None]
            if values:
                ranges[f"gpu_{name}"] = [min(values), max(values)]
        return {**self.load._asdict(), **ranges}


def _clocks_disagree(readings: list[Reading]) -> list[str]:
    """Whether CUDA events and the wall clock tell different stories, compared by their sums."""
    ms, wall = sum(r.ms for r in readings), sum(r.wall_ms for r in readings)
    if abs(wall - ms) <= max(APART * wall, APART_MS * len(readings)):
        return []
    return [
        f"wall clock {wall / ms - 1:+.0%} against CUDA events" if ms else "CUDA events saw nothing"
    ]
