"""Disturbances while a block of calls is timed, as reasons to distrust its times."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from .clock import Reading
from .gpu import Gpu, GpuState, gpu_doubts
from .load import Load, cpu_doubts

APART, APART_MS = 0.05, 0.1
"""Allowed difference of CUDA events and the wall clock, as a share of the time or in milliseconds:
launching and synchronising cost some.
"""


@dataclass
class Block:
    """Observations during one block of calls.

    Attributes:
        load: growth of the machine's counters.
        state: of the GPU, at its end; None on a CPU or without NVML.
        peak: most bytes that torch held on the GPU; None on a CPU.
        grown: number of the allocator's requests to the driver for memory, which take long and wait
            for the device.
    """

    load: Load = field(default_factory=Load)
    state: GpuState | None = None
    peak: int | None = None
    grown: int = 0

    def doubts(self, readings: Sequence[Reading]) -> list[str]:
        """Return the reasons to distrust the times of the block, each in a few words."""
        return doubts([self], readings)


@contextmanager
def watched_block(device: str, gpu: Gpu | None) -> Iterator[Block]:
    """Observe the block inside, without garbage collection.

    Yields:
        The observations, filled in at the end.
    """
    block, cuda, segments = Block(), device.startswith("cuda"), 0
    collects = gc.isenabled()
    gc.disable()
    try:
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            segments = _count_segments()
        before = Load.of_this_moment()
        yield block
        block.load = Load.of_this_moment().since(before)
        if cuda:
            block.peak = torch.cuda.max_memory_allocated()
            block.grown = _count_segments() - segments
        if gpu is not None:
            block.state = gpu.state()
    finally:
        if collects:
            gc.enable()


def doubts(blocks: Sequence[Block], readings: Sequence[Reading]) -> list[str]:
    """Return the reasons to distrust the times of some blocks, each in a few words; empty for none.

    Args:
        blocks: one or more; a disturbance too small to show in each may show in all.
        readings: the times.
    """
    states = [block.state for block in blocks if block.state is not None]
    reasons = cpu_doubts(total_load(blocks), os.cpu_count() or 1, torch.get_num_threads())
    reasons += gpu_doubts(states) + _clocks_disagree(readings)
    grown = sum(block.grown for block in blocks)
    return reasons + ([f"torch asked the driver for memory {grown} times"] if grown else [])


def total_load(blocks: Sequence[Block]) -> Load:
    """Return the growth of the counters over all blocks."""
    total = Load()
    for block in blocks:
        total = total.and_(block.load)
    return total


def observed(blocks: Sequence[Block]) -> dict[str, object]:
    """Return the raw record: seconds of the load, and the range of each number of the GPU."""
    ranges: dict[str, object] = {}
    for name in GpuState._fields:
        values = [
            value
            for block in blocks
            if block.state is not None and (value := getattr(block.state, name)) is not None
        ]
        if values:
            ranges[f"gpu_{name}"] = [min(values), max(values)]
    return {**total_load(blocks)._asdict(), **ranges}


def _count_segments() -> int:
    """Return the number of segments that torch's allocator has had from the driver so far."""
    return int(torch.cuda.memory_stats().get("segment.all.allocated", 0))


def _clocks_disagree(readings: Sequence[Reading]) -> list[str]:
    """Return the reason if CUDA events and the wall clock disagree, by their sums; empty if not."""
    ms, wall = sum(r.ms for r in readings), sum(r.wall_ms for r in readings)
    if abs(wall - ms) <= max(APART * wall, APART_MS * len(readings)):
        return []
    return [
        f"wall clock {wall / ms - 1:+.0%} against CUDA events" if ms else "CUDA events saw nothing"
    ]
