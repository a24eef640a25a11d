"""Wall time: a pass of its own, after quality. Rounds over all cells in random order, so that drift of the machine hits all alike.

A round times each cell's whole ``sample(batch)`` and, beside it, the bare network on the same batch and dtype, so that

    overhead = (total - evaluations * network) / (evaluations * network)

compares medians of times that were taken side by side in every round. Rounds go on until the 95 % interval of every median is
narrow, or the time is spent.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..models import Denoiser
from ..results.record import Record
from .cell import Cell
from .meter import Meter
from .sampling import begin, latents
from .suite import Timing

WARM_UP_AGREEMENT, WARM_UP_LIMIT = 0.02, 20
NETWORK_CALLS = 8
FEWEST = 6
"""Fewer times than this have no 95 % interval: the range of five covers the median in 94 % of cases."""


@dataclass
class Clock:
    """Times a call on a device, in milliseconds: CUDA events where there is a GPU, the monotonic clock elsewhere."""

    device: str

    def __call__(self, work: Callable[[], object]) -> float:
        """Milliseconds of one call, complete on the device."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            stop.record()
            torch.cuda.synchronize()
            return start.elapsed_time(stop)
        begin = time.perf_counter_ns()
        work()
        return (time.perf_counter_ns() - begin) / 1e6


@dataclass
class Watch:
    """The times of one cell so far, milliseconds per batch."""

    cell: Cell
    batch: int
    total: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    evaluations: float = 0.0

    def settled(self, options: Timing) -> bool:
        """Whether the median's 95 % interval is within ``half_width`` of it."""
        if len(self.total) < max(options.min_rounds, FEWEST):
            return False
        low, high = median_interval(self.total)
        return (high - low) / 2 <= options.half_width * float(np.median(self.total))

    def columns(self, options: Timing, device: str) -> Record:
        """The timing columns and the raw times."""
        total, network = np.array(self.total), np.array(self.network)
        quarter, middle, three = np.percentile(total, [25, 50, 75]) / self.batch
        model = float(np.median(network)) / self.batch
        return {
            "ms_per_sample": float(middle),
            "ms_iqr": float(three - quarter),
            "model_ms_per_sample": model,
            "overhead": (float(middle) - model) / model,
            "timing_converged": self.settled(options),
            "timing_rounds": len(total),
            "timing_batch_size": self.batch,
            "timing_device": device,
            "raw_total_ms": self.total,
            "raw_network_ms": self.network,
        }


def median_interval(times: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of the median from order statistics (binomial, normal approximation); the whole range below FEWEST times."""
    ordered, n = sorted(times), len(times)
    lower = max(0, math.floor(n / 2 - 1.96 * n**0.5 / 2)) if n >= FEWEST else 0
    return ordered[lower], ordered[n - 1 - lower]


def time_cells(
    model: Denoiser, cells: Sequence[Cell], options: Timing, device: str, *,
    progress: Callable[[float, str], None], done: Callable[[str, Record], None],
) -> None:  # fmt: skip
    """Time the cells of one model.

    Args:
        model: on ``device``.
        cells: finished cells.
        options: how long and how exactly.
        device: "cpu" or "cuda".
        progress: told the share of the pass that is done, and what is being timed.
        done: given the key and the timing columns of a cell as soon as it is settled, or when the time is spent. A cell that cannot be
            timed gets a ``timing_reason`` and no times.
    """
    clock, order = Clock(device), random.Random(0)
    watches = [Watch(cell, options.batch_size or cell.batch_size) for cell in cells]
    _warm_up(_bare(model, watches[0], device), clock)
    begin = time.perf_counter()
    for round_ in range(options.max_rounds):
        spent = time.perf_counter() - begin
        todo = [w for w in watches if not w.settled(options)]
        if not todo or (round_ >= options.min_rounds and spent + spent / round_ > options.seconds):
            break
        order.shuffle(todo)
        for watch in todo:
            progress(min(1.0, max(spent / options.seconds, round_ / options.max_rounds)), watch.cell.label)
            try:
                _measure(model, watch, device, clock)
            except Exception as error:
                watches.remove(watch)
                done(watch.cell.key, {"timing_reason": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"})
                continue
            if watch.settled(options):
                done(watch.cell.key, watch.columns(options, device))
    for watch in watches:
        if watch.total and not watch.settled(options):
            done(watch.cell.key, watch.columns(options, device))


def _measure(model: Denoiser, watch: Watch, device: str, clock: Clock) -> None:
    """One time of the whole sampler, one of its share of the bare network."""
    cell = watch.cell
    ids = torch.arange(watch.batch, device=device)
    bound = model.bind(ids, cell.seed)
    x, source = begin(model, cell, ids)
    if not watch.evaluations:
        meter = Meter()
        cell.sampler.sample(meter.attach(model).bind(ids, cell.seed), x, cell.grid, source)
        watch.evaluations = meter.rows / watch.batch / model.passes
    watch.total.append(clock(lambda: cell.sampler.sample(bound, x, cell.grid, source)))
    calls = max(1, min(NETWORK_CALLS, round(watch.evaluations)))
    bare = clock(lambda: [bound(x, 1.0) for _ in range(calls)])
    watch.network.append(watch.evaluations * bare / calls)


def _bare(model: Denoiser, watch: Watch, device: str) -> Callable[[], object]:
    """One evaluation of the bare network, on the batch that is timed."""
    ids = torch.arange(watch.batch, device=device)
    bound = model.bind(ids, watch.cell.seed)
    x, _ = latents(model, ids, watch.cell.seed, getattr(torch, watch.cell.dtype))
    return lambda: bound(x, 1.0)


def _warm_up(work: Callable[[], object], clock: Clock) -> None:
    """Repeat until two medians of three agree."""
    before = np.inf
    for _ in range(WARM_UP_LIMIT):
        now = float(np.median([clock(work) for _ in range(3)]))
        if abs(now - before) <= WARM_UP_AGREEMENT * now:
            return
        before = now
