"""The timing pass over the cells of one model: rounds over all cells in random order, so that drift
of the machine hits all alike.

A round times each cell's whole ``sample(batch)`` and, beside it, the bare network on the same batch
and dtype, so that

    overhead = (total - evaluations * network) / (evaluations * network)

compares medians of times that were taken side by side in every round. The decoder of a latent model
is timed apart, on the same number of latents; it is part of neither. Rounds go on until the 95 %
interval of every median is narrow, or the time is spent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ...models import Denoiser
from ...results.record import Record
from ..sampling.batch import begin
from ..sampling.engine import LEVEL, works
from ..sampling.infinity import solved
from ..sampling.meter import Meter
from ..sampling.out_of_memory import out_of_memory
from ..suites.cell import Cell
from ..suites.suite import Timing
from .clock import Clock, Reading, warm_up
from .disturbances import Disturbances
from .energy import joules_per_call
from .gpu import Gpu
from .watch import Watch

NETWORK_CALLS = 8
WARM_UP_SHARE = 0.25
"""Share of the time that warming up may take, over all cells."""

Done = Callable[[str, Record], None]
Progress = Callable[[float, str], None]
Stopwatch = Callable[[Callable[[], object]], Reading]


def time_cells(
    model: Denoiser,
    cells: Sequence[Cell],
    options: Timing,
    device: str,
    *,
    batch_size: int = 0,
    progress: Progress,
    done: Done,
    clock: Stopwatch | None = None,
) -> None:
    """Time the cells of one model.

    Args:
        model: on ``device``.
        cells: finished cells.
        options: how long and how exactly.
        device: "cpu" or "cuda".
        batch_size: samples per timed batch; 0 takes each cell's own.
        progress: told the share of the pass that is done, and what is being timed.
        done: given the key and the timing columns of a cell as soon as it is settled, or when the
            time is spent. A cell that cannot be timed gets a ``timing_reason`` and no times.
        clock: what times a call; by default :meth:`.Clock.time` of the device.
    """
    gpu = Gpu.of_torch() if device.startswith("cuda") else None
    watches = [Watch(cell, batch_size or cell.batch_size, Disturbances(gpu)) for cell in cells]
    warm_up_ms = WARM_UP_SHARE * options.seconds * 1e3 / max(1, len(cells))
    _Pass(
        model, watches, options, device, progress, done, clock or Clock(device).time, warm_up_ms
    ).run()


@dataclass
class _Pass:
    """One pass: the open watches, and how their times are taken."""

    model: Denoiser
    watches: list[Watch]
    options: Timing
    device: str
    progress: Progress
    done: Done
    clock: Stopwatch
    warm_up_ms: float
    begun: float = field(default_factory=time.perf_counter)

    def run(self) -> None:
        """Rounds until nothing is open or the time is spent.

        What is open then is concluded as it is.
        """
        order, rounds = random.Random(0), 0
        while self.watches and not self._spent(rounds):
            order.shuffle(self.watches)
            for watch in list(self.watches):
                share = max(
                    self._seconds() / self.options.seconds, rounds / self.options.max_rounds
                )
                self.progress(min(1.0, share), watch.cell.label)
                self._attempt(watch)
            rounds += 1
        for watch in self.watches:
            self._conclude(watch)

    def _seconds(self) -> float:
        return time.perf_counter() - self.begun

    def _spent(self, rounds: int) -> bool:
        """Whether another round is too many, or would go beyond the time."""
        if rounds >= self.options.max_rounds:
            return True
        return (
            rounds >= self.options.min_rounds
            and self._seconds() * (1 + 1 / rounds) > self.options.seconds
        )

    def _attempt(self, watch: Watch) -> None:
        """One more time of a cell, and its end if that is enough or it fails."""
        try:
            self._measure(watch)
        except Exception as error:
            self.watches.remove(watch)
            text = " ".join(str(error).split())[:500]
            reason = f"{type(error).__name__}: {text}"
            if out_of_memory(error):
                reason += f"; a batch of {watch.batch} does not fit, and no other is timed for it"
            self.done(watch.cell.key, {"timing_reason": reason})
            return
        if watch.settled(self.options):
            self.watches.remove(watch)
            self._conclude(watch)

    def _measure(self, watch: Watch) -> None:
        """One time of the whole sampler, one of its share of the bare network.

        Before the first, count and warm up.
        """
        if watch.works is None:
            ids = torch.arange(watch.batch, device=self.device)
            watch.evaluations = _count(self.model, watch.cell, ids)
            watch.works = works(self.model, watch.cell, ids)
            watch.warm = warm_up(watch.works.sample, self.clock, self.warm_up_ms)
            if watch.works.decode is not None:
                self.clock(watch.works.decode)
        sample, network, decode = watch.works
        calls = max(1, min(NETWORK_CALLS, round(watch.evaluations)))
        with watch.disturbances.block(self.device):
            watch.total.append(self.clock(sample))
            bare = self.clock(lambda: [network() for _ in range(calls)])
            if decode is not None:
                watch.decoder.append(self.clock(decode).ms)
        watch.network.append(watch.evaluations * bare.ms / calls)

    def _conclude(self, watch: Watch) -> None:
        """Energy, if it is asked for and counted, then the columns."""
        if watch.works is None:
            return
        gpu, before = watch.disturbances.gpu, time.perf_counter()
        if gpu is not None and self.options.energy_seconds:
            watch.joules = joules_per_call(
                watch.works.sample, gpu.joules, torch.cuda.synchronize, self.options.energy_seconds
            )
            self.begun += time.perf_counter() - before  # windows come on top of the time for rounds
        watch.works = None  # frees what the cell holds on the device
        self.done(watch.cell.key, watch.columns(self.options, self.device))


def _count(model: Denoiser, cell: Cell, ids: torch.Tensor) -> float:
    """Evaluations per sample of the call that is timed, by an eager run."""
    assert cell.grid is not None
    meter = Meter()
    x, source = begin(model, cell, ids)
    solved(cell, meter.attach(model).bind(ids, cell.seed), x, source)
    return meter.rows / len(ids) / model.passes_at(LEVEL)
