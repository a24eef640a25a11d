"""Throughput against the batch size, up to where a larger batch brings nothing more.

The knee is the smallest batch with nearly the largest throughput: below it a GPU waits for launches,
above it samples wait for one another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import torch

from ...models import Denoiser
from ...results.comparison.medians import settled
from ..sampling.engine import works
from ..suites.cell import Cell
from .cells import Stopwatch
from .clock import warm_up

GAIN = 1.05
"""A doubling that brings less than this is none; after two in a row the sweep ends."""
NEARLY = 0.9
"""The knee has this share of the largest throughput."""
FEWEST, MOST = 6, 15
"""Calls that are timed at each size."""
WARM_UP_MS = 5000.0


class Point(NamedTuple):
    """One batch size.

    Attributes:
        batch: samples.
        ms: median time of a call.
    """

    batch: int
    ms: float

    @property
    def samples_per_second(self) -> float:
        """Throughput."""
        return 1e3 * self.batch / self.ms


class Sweep(NamedTuple):
    """A sweep over batch sizes.

    Attributes:
        points: from small to large.
        ended: why there is no larger one, in a few words.
    """

    points: list[Point]
    ended: str

    @property
    def knee(self) -> int:
        """The smallest batch with :data:`NEARLY` the largest throughput; 0 where nothing was timed."""
        return knee_of(self.points)


def knee_of(points: Sequence[Point]) -> int:
    """See :attr:`Sweep.knee`."""
    most = max((point.samples_per_second for point in points), default=0.0)
    good = (point.batch for point in points if point.samples_per_second >= NEARLY * most)
    return min(good, default=0)


def sweep(
    model: Denoiser,
    cell: Cell,
    clock: Stopwatch,
    most: int,
    *,
    progress: Callable[[int], object],
    until: float | None = None,
) -> Sweep:
    """Time a cell's sampler in batches of 1, 2, 4, … samples.

    Args:
        model: on the cell's device.
        cell: what is run.
        clock: times a call.
        most: the largest batch that is tried.
        progress: told the batch that comes.
        until: moment of :func:`time.monotonic` at which it ends.
    """
    points: list[Point] = []
    batch, small_gains = 1, 0
    while batch <= most:
        if until is not None and time.monotonic() > until:
            return Sweep(points, "the time was spent")
        progress(batch)
        try:
            points.append(Point(batch, _timed(model, cell, clock, batch)))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return Sweep(points, f"{batch} samples do not fit into memory")
        if len(points) > 1:
            gain = points[-1].samples_per_second / points[-2].samples_per_second
            small_gains = small_gains + 1 if gain < GAIN else 0
        if small_gains == 2:
            return Sweep(points, "larger batches bring nothing more")
        batch *= 2
    return Sweep(points, f"{most} samples are the most that were asked for")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _timed(model: Denoiser, cell: Cell, clock: Stopwatch, batch: int) -> float:
    run = works(model, cell, torch.arange(batch, device=cell.device), room=0.0)
    warm_up(run.sample, clock, WARM_UP_MS)
    times: list[float] = []
    while len(times) < FEWEST or (len(times) < MOST and not settled(times, 0.01, FEWEST)):
        times.append(clock(run.sample).ms)
    return median(times)
