"""The times of one cell, and the columns that they become."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np

from ...results.record import Record
from ..sampling.engine import Works
from ..suites.cell import Cell
from ..suites.suite import Timing
from .clock import Reading
from .disturbances import Disturbances
from .statistics import FEWEST, median_interval, settled


@dataclass
class Watch:
    """The times of one cell so far.

    Attributes:
        cell: what is timed.
        batch: samples of a call.
        disturbances: what was seen of the machine meanwhile.
        total: whole calls of the sampler.
        network: milliseconds of the bare network for the same evaluations, taken beside them.
        decoder: milliseconds of decoding the batch, taken beside them; empty without a decoder.
        works: the calls; None before the first round and after the last.
        evaluations: network evaluations per sample.
        warm: whether the warm-up ended by agreement.
        joules: energy of a call; None where there is no counter.
    """

    cell: Cell
    batch: int
    disturbances: Disturbances
    total: list[Reading] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    decoder: list[float] = field(default_factory=list)
    works: Works | None = None
    evaluations: float = 0.0
    warm: bool = False
    joules: float | None = None

    @property
    def times(self) -> list[float]:
        """Milliseconds of the whole calls."""
        return [reading.ms for reading in self.total]

    def settled(self, options: Timing) -> bool:
        """Whether the interval of the median is as narrow as asked."""
        return settled(self.times, options.half_width, options.min_rounds)

    def columns(self, options: Timing, device: str) -> Record:
        """The timing columns, the raw times and the disturbances."""
        enough = len(self.times) >= FEWEST
        low, high = median_interval(self.times)
        quarter, middle, three = np.percentile(self.times, [25, 50, 75]) / self.batch
        model = statistics.median(self.network) / self.batch
        walls = [reading.wall_ms for reading in self.total] if device.startswith("cuda") else []
        peak = self.disturbances.peak
        return {
            "ms_per_sample": float(middle),
            "ms_low": low / self.batch if enough else None,
            "ms_high": high / self.batch if enough else None,
            "ms_iqr": float(three - quarter),
            "wall_ms_per_sample": statistics.median(walls) / self.batch if walls else None,
            "model_ms_per_sample": model,
            "decoder_ms_per_sample": statistics.median(self.decoder) / self.batch
            if self.decoder
            else None,
            "overhead": (float(middle) - model) / model if model else None,
            "peak_memory_mb": None if peak is None else peak / 2**20,
            "joules_per_sample": None if self.joules is None else self.joules / self.batch,
            "timing_converged": self.settled(options),
            "timing_flag": self.disturbances.doubts(self.total),
            "timing_rounds": len(self.total),
            "timing_batch_size": self.batch,
            "timing_device": device,
            "timing_execution": self.cell.execution,
            "timing_warm": self.warm,
            "timing_observed": self.disturbances.observed(),
            "raw_total_ms": self.times,
            "raw_wall_ms": walls,
            "raw_network_ms": self.network,
            "raw_decoder_ms": self.decoder,
        }
