"""Times of one cell from all rounds, and the columns that summarise them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import numpy as np

from ...results.comparison.times import FEWEST, is_settled, median_interval
from ...results.values import Record
from ..sampling.engine import WorkToTime
from ..suites.cell import Cell
from ..suites.suite import Timing
from .clock import CallTimes
from .disturbances import BlockObservations, doubts_of_blocks, raw_observations
from .gpu_state import STEADY

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
        fine = [visit for visit in self.visits if not visit.doubts]
        clocks = [v.block.state.sm_clock for v in fine if v.block.state and v.block.state.sm_clock]
        if not clocks:
            return fine
        usual = median(clocks)
        return [
            visit
            for visit in fine
            if visit.block.state is None
            or abs((visit.block.state.sm_clock or usual) / usual - 1) <= STEADY / 2
        ]

    @property
    def counted_visits(self) -> list[TimedVisit]:
        """Undisturbed visits; all visits if fewer than FEWEST or a half are undisturbed."""
        fine = self.undisturbed_visits
        return fine if len(fine) >= FEWEST and 2 * len(fine) >= len(self.visits) else self.visits

    def is_interval_narrow(self, options: Timing) -> bool:
        """Return True if >= ``min_rounds`` times give the median to a share of ``half_width``."""
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
            "timing_disturbances": Counter(
                text for v in self.visits for text in _doubts_without_numbers(v)
            ),
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


def _doubts_without_numbers(visit: TimedVisit) -> list[str]:
    """Return the doubts of a visit without numbers, so that doubts of one kind can be counted."""
    return [
        " ".join(word for word in text.split() if not any(map(str.isdigit, word)))
        for text in visit.doubts
    ]
