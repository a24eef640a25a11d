"""Throughput by batch size, up to the size where larger batches gain nothing.

The knee is the smallest batch with nearly the largest throughput. Smaller batches leave a GPU
waiting for launches. In larger batches, samples wait for one another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import torch

from ...models.denoiser import Denoiser
from ...results.comparison.times import is_settled
from ...results.values import Record
from ..sampling.engine import prepare_timed_work
from ..sampling.failure import is_out_of_memory
from ..suites.cell import Cell
from ..suites.suite import Timing
from .clock import Clock, Stopwatch, set_backends, warm_up

GAIN = 1.05
"""Smallest factor of throughput that counts as a gain; two in a row below it end a sweep."""
NEARLY = 0.9  # smallest share of the largest throughput at the knee
FEWEST, MOST = 6, 15  # fewest and most timed calls at each batch size
WARM_UP_MS = 5000.0


class SweepPoint(NamedTuple):
    """Batch size in samples, and the median time in ms of sampling one batch."""

    batch: int
    ms: float

    @property
    def samples_per_second(self) -> float:
        """Throughput in samples per second."""
        return 1e3 * self.batch / self.ms


def sweep_record(
    model: Denoiser,
    cell: Cell,
    options: Timing,
    device: str,
    within: float | None,
    progress: Callable[[int], None],
) -> Record:
    """Time batch sizes, and return ``points``, ``knee`` and the reason why the sweep ``ended``."""
    with set_backends(tf32=options.tf32, cudnn_benchmark=options.cudnn_benchmark):
        points, ended = sweep_batch_sizes(
            model, cell, Clock(device).time, options.sweep, progress=progress, within=within
        )
    return {"points": points, "knee": knee_batch_size(points), "ended": ended}


def knee_batch_size(points: Sequence[SweepPoint]) -> int:
    """Return the smallest batch with 90 % (NEARLY) of the top throughput; 0 without points."""
    most = max((point.samples_per_second for point in points), default=0.0)
    good = (point.batch for point in points if point.samples_per_second >= NEARLY * most)
    return min(good, default=0)


def sweep_batch_sizes(
    model: Denoiser,
    cell: Cell,
    clock: Stopwatch,
    most: int,
    *,
    progress: Callable[[int], None],
    within: float | None = None,
) -> tuple[list[SweepPoint], str]:
    """Time a cell's sampler in batches of 1, 2, 4, … samples, up to ``most``.

    ``progress`` receives each batch size before its calls. No batch is begun after ``within``
    seconds. Returns the points, and the reason why the sweep ended.
    """
    until = None if within is None else time.monotonic() + within
    points: list[SweepPoint] = []
    batch, small_gains = 1, 0
    while batch <= most:
        if until is not None and time.monotonic() > until:
            return points, "the time was spent"
        progress(batch)
        try:
            points.append(SweepPoint(batch, _median_ms(model, cell, clock, batch)))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return points, f"{batch} samples do not fit into memory"
        if len(points) > 1:
            gain = points[-1].samples_per_second / points[-2].samples_per_second
            small_gains = small_gains + 1 if gain < GAIN else 0
        if small_gains == 2:
            return points, "larger batches bring nothing more"
        batch *= 2
    return points, f"{most} samples are the most that were asked for"


def _median_ms(model: Denoiser, cell: Cell, clock: Stopwatch, batch: int) -> float:
    run = prepare_timed_work(model, cell, torch.arange(batch, device=cell.device), room=0.0)
    warm_up(run.sample, clock, WARM_UP_MS)
    times: list[float] = []
    while len(times) < FEWEST or (len(times) < MOST and not is_settled(times, 0.01, FEWEST)):
        times.append(clock(run.sample).ms)
    return median(times)
