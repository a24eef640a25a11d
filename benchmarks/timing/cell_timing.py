"""Times of one cell: columns that summarise its rounds, and its throughput by batch size.

A sweep ends where larger batches gain nothing. The knee is the smallest batch with nearly the
largest throughput. Smaller batches leave a GPU waiting for launches. In larger batches, samples
wait for one another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from ...models.denoiser import Denoiser
from ...results.comparison.times import FEWEST, is_settled, median_interval
from ...results.values import Record
from ..sampling.engine import WorkToTime, prepare_timed_work
from ..sampling.failure import is_out_of_memory
from ..suites.cell import Cell
from ..suites.suite import Timing
from .clock import CallTimes, Stopwatch, warm_up
from .disturbances import BlockObservations, doubts_of_blocks, raw_observations
from .gpu_state import LARGEST_CLOCK_CHANGE

MOST_VISITS = 2
"""Largest number of visits of a cell, also disturbed ones, as a multiple of ``max_rounds``."""


class TimedVisit(NamedTuple):
    """Times of one cell in one round."""

    round: int
    total: CallTimes  # of one whole call of the sampler
    network_ms: float  # the sampler's calls of the model, made without the sampler
    decoder_ms: float | None  # to decode the batch; None without a decoder
    cold_ms: float | None  # a whole call with emptied caches; None for batches above 1
    block: BlockObservations  # of the machine during the calls
    doubts: list[str]  # reasons to distrust the times; empty for none
    seconds: float  # duration of the visit


@dataclass
class CellTiming:
    """Times of one cell so far."""

    cell: Cell
    batch: int  # number of samples per call
    visits: list[TimedVisit] = field(default_factory=list)  # disturbed ones included
    work: WorkToTime | None = None  # None before the first round and after the last
    facts: Record = field(default_factory=dict)  # columns known before the first round
    warm: bool = False  # True if the warm-up ended with steady times
    joules: float | None = None  # energy of a call in J; None if it was not measured

    @property
    def undisturbed_visits(self) -> list[TimedVisit]:
        """Visits without doubts, and with a GPU clock, if known, within 2.5 % of the median."""
        fine = [(v, v.block.state and v.block.state.sm_clock) for v in self.visits if not v.doubts]
        clocks = [clock for _, clock in fine if clock]
        usual = median(clocks or [1.0])
        largest = LARGEST_CLOCK_CHANGE / 2
        return [v for v, clock in fine if not clock or abs(clock / usual - 1) <= largest]

    @property
    def counted_visits(self) -> list[TimedVisit]:
        """Undisturbed visits; all visits if fewer than FEWEST or a half are undisturbed."""
        fine = self.undisturbed_visits
        return fine if len(fine) >= FEWEST and 2 * len(fine) >= len(self.visits) else self.visits

    def is_interval_narrow(self, options: Timing) -> bool:
        """Return True if >= ``min_rounds`` times give the median to ± ``half_width``, a share."""
        visits = self.counted_visits
        return is_settled([v.total.ms for v in visits], options.half_width, options.min_rounds)

    def has_all_rounds(self, options: Timing) -> bool:
        """Return True after ``max_rounds`` undisturbed visits, or after twice as many visits."""
        return (
            len(self.undisturbed_visits) >= options.max_rounds
            or len(self.visits) >= MOST_VISITS * options.max_rounds
        )

    def columns(self, options: Timing, device: str) -> Record:
        """Return the timing columns with raw times and disturbances; needs at least one visit."""
        visits, cuda = self.counted_visits, device.startswith("cuda")
        times, walls = [v.total.ms for v in visits], [v.total.wall_ms for v in visits]
        own = [v.total.ms - v.network_ms for v in visits]
        network, solver = median(v.network_ms for v in visits), median(own)
        decoder = [v.decoder_ms for v in visits if v.decoder_ms is not None]
        cold = [v.cold_ms for v in visits if v.cold_ms is not None]
        enough = len(times) >= FEWEST
        low, high = median_interval(times)
        quarter, middle, three = np.percentile(times, [25, 50, 75]) / self.batch
        latency = median(walls) + (median(decoder) if decoder else 0.0)
        peaks = [v.block.peak for v in visits if v.block.peak is not None]
        blocks = [v.block for v in visits]
        steps = self.cell.steps
        return {
            "ms_per_sample": float(middle),
            "ms_low": low / self.batch if enough else None,
            "ms_high": high / self.batch if enough else None,
            "ms_iqr": float(three - quarter),
            "wall_ms_per_sample": median(walls) / self.batch if cuda else None,
            "model_ms_per_sample": network / self.batch,
            "solver_ms_per_sample": solver / self.batch,
            "decoder_ms_per_sample": median(decoder) / self.batch if decoder else None,
            "cold_ms_per_sample": median(cold) / self.batch if cold else None,
            "overhead": solver / network if network else None,
            "overhead_us_per_step": 1e3 * solver / steps if steps else None,
            "latency_ms": latency,
            "samples_per_second": 1e3 * self.batch / latency if latency else None,
            "peak_memory_mb": max(peaks) / 2**20 if peaks else None,
            "joules_per_sample": None if self.joules is None else self.joules / self.batch,
            "timing_converged": self.is_interval_narrow(options),
            "timing_discarded": len(self.visits) - len(visits),
            "timing_flag": "; ".join(doubts_of_blocks(blocks, [v.total for v in visits])),
            "timing_rounds": len(visits),
            "timing_batch_size": self.batch,
            "timing_device": device,
            "timing_execution": self.cell.execution,
            "timing_warm": self.warm,
            "timing_observed": raw_observations(blocks),
            "raw_total_ms": times,
            "raw_rounds": [v.round for v in visits],
            "raw_second": [v.total.second_clock for v in visits],
            "raw_wall_ms": walls if cuda else [],
            "raw_network_ms": [v.network_ms for v in visits],
            "raw_decoder_ms": decoder,
            "raw_cold_ms": cold,
            "raw_discarded_ms": [v.total.ms for v in self.visits if v not in visits],
            **self.facts,
        }


GAIN = 1.05
"""Smallest factor of throughput that counts as a gain; two in a row below it end a sweep."""
NEARLY = 0.9  # smallest share of the largest throughput at the knee
FEWEST_CALLS, MOST_CALLS = 6, 15  # fewest and most timed calls at each batch size
WARM_UP_MS = 5000.0


class SweepPoint(NamedTuple):
    """Batch size in samples, and the median time in ms of sampling one batch."""

    batch: int
    ms: float

    @property
    def samples_per_second(self) -> float:
        """Throughput in samples per second."""
        return 1e3 * self.batch / self.ms


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
    until = inf if within is None else time.monotonic() + within
    points: list[SweepPoint] = []
    batch, small_gains = 1, 0
    while batch <= most:
        if time.monotonic() > until:
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
    return points, f"{most} samples are the limit of the sweep"


def _median_ms(model: Denoiser, cell: Cell, clock: Stopwatch, batch: int) -> float:
    run = prepare_timed_work(model, cell, torch.arange(batch, device=cell.device), room=0.0)
    warm_up(run.sample, clock, WARM_UP_MS)
    times: list[float] = []
    while len(times) < FEWEST_CALLS or (
        len(times) < MOST_CALLS and not is_settled(times, 0.01, FEWEST_CALLS)
    ):
        times.append(clock(run.sample).ms)
    return median(times)
