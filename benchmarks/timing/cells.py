"""Timing pass over a model's cells, in rounds, so that the machine's drift affects all cells alike.

A round visits the cells in random order. A visit times a cell's whole ``sample(batch)``, and right
after it the same calls of the model alone. With these two times,

    solver = total - network,        overhead = solver / network.

Neither time includes the decoder of a latent model, which is timed separately on as many latents.
Disturbed visits are discarded and counted, if enough others remain. A cell leaves the rounds when
its median's 95 % interval is narrow, or after ``max_rounds``. All cells end when the time is spent.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from uuid import uuid4

import torch

from ...models.denoiser import Denoiser
from ...results.values import Record
from ..sampling.engine import bytes_for_states_on, prepare_timed_work
from ..sampling.failure import error_in_words, is_out_of_memory
from ..suites.cell import Cell
from ..suites.suite import Timing
from .cell_timing import CellTiming, TimedVisit
from .clock import DeviceTimer, Stopwatch, make_frequency_reader, set_backends, warm_up
from .disturbances import doubts_of_blocks, observe_block
from .gpu_state import Gpu


def joules_per_call(
    work: Callable[[], object],
    joules: Callable[[], float | None],
    finish: Callable[[], object],
    seconds: float,
) -> float | None:
    """Return the whole device's energy in J during one call of ``work``; None without a counter.

    ``work`` is repeated for at least ``seconds``, since the counter ``joules`` is updated only
    every few hundredths of a second. ``finish`` waits until the device is idle.
    """
    finish()
    before, begin, calls = joules(), time.perf_counter(), 0
    if before is None:
        return None
    while time.perf_counter() - begin < seconds:
        work()
        finish()
        calls += 1
    after = joules()
    return None if after is None else (after - before) / calls


CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
CACHE_GUESS = 128 * 2**20  # bytes of the last cache if the system does not report them


def cache_filler(device: str) -> torch.Tensor:
    """Return a tensor of twice the last-level cache's size; writing to it empties the cache.

    This is a GPU's L2, or a processor's largest cache.
    """
    sizes = [0]
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        sizes.append(int(getattr(properties, "L2_cache_size", 0)))
    else:
        for path in CPU_CACHES.glob("index*/size"):
            with suppress(OSError, ValueError):
                text = path.read_text(encoding="ascii").strip()
                sizes.append(int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1], 0))
    size = max(sizes) or CACHE_GUESS
    return torch.empty(2 * size // 4, dtype=torch.float32, device=device)


LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch")
"""Prefixes of the CUDA calls that start work on the device; replaying a graph is one call."""


def count_launches(work: Callable[[], object]) -> tuple[int, int]:
    """Return the numbers of CUDA launches, and of kernels, copies and fills, in one ``work()``."""
    from torch.profiler import ProfilerActivity, profile  # imported here, since it is slow

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    events = list(profiler.events() or ())
    return (
        sum(event.name.startswith(LAUNCHES) for event in events),
        sum("CUDA" in str(event.device_type) for event in events),
    )


WARM_UP_SHARE = 0.25  # share of the pass's seconds for the warm-up of all cells together

ROUND_ROOM = 4
"""Memory for the states of a group of cells, as a multiple of the memory for one cell's states."""

Done = Callable[[str, Record], None]
Progress = Callable[[float, str], None]


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
    within: float | None = None,
) -> None:
    """Time the cells of one model, as many at a time as fit into memory.

    Args:
        model: model on ``device``.
        cells: sampled cells, the most important first.
        options: duration and precision.
        device: "cpu" or "cuda".
        batch_size: samples per timed batch; 0 takes each cell's own batch size.
        progress: receives the share of the pass that is done, in [0, 1], and a cell's label.
        done: receives the key and the timing columns of a cell whose timing has ended. If the cell
            cannot be timed, the only column is ``timing_reason``.
        clock: function that times a call; by default :meth:`.DeviceTimer.time` of the device.
        within: seconds for all cells; None for no limit. A cell begins only if there is time for
            enough visits; else ``done`` receives nothing for it.
    """
    until = inf if within is None else time.monotonic() + within
    gpu = Gpu.of_current_device() if device.startswith("cuda") else None
    own = DeviceTimer(device, make_frequency_reader(gpu) if device.startswith("cuda") else None)
    waiting = deque(CellTiming(cell, batch_size or cell.batch_size) for cell in cells)
    warm_up_ms = WARM_UP_SHARE * options.seconds * 1e3 / max(1, len(cells))
    with set_backends(options) as applied:
        about = {f"timing_{name}": value for name, value in applied.items()}
        about["timing_second_clock"] = own.second_clock_unit
        timing_pass = _TimingPass(
            model, options, device, progress, done, clock or own.time, gpu, warm_up_ms, about, until
        )
        while waiting:
            timing_pass.run(waiting)


@dataclass
class _TimingPass:
    """Timing pass over a model's cells, in groups that fit into memory together."""

    model: Denoiser
    options: Timing
    device: str
    progress: Progress
    done: Done
    clock: Stopwatch
    gpu: Gpu | None
    warm_up_ms: float  # most milliseconds of a cell's warm-up
    about: Record  # columns that all cells share
    until: float  # end of the pass, by the monotonic clock; inf for no end
    unfinished: list[CellTiming] = field(default_factory=list)
    begun: float = 0.0
    rounds: int = 0
    cold: torch.Tensor | None = None  # tensor whose writing empties the caches

    def run(self, waiting: deque[CellTiming]) -> None:
        """Take cells off ``waiting`` as memory and time allow, time them in rounds, and report."""
        self.unfinished, self.rounds, self.cold = [], 0, None
        self.begun, self.about["timing_pass"] = time.perf_counter(), uuid4().hex
        self._begin_cells(waiting)
        order = random.Random(0)
        while self.unfinished and not self._is_spent():
            order.shuffle(self.unfinished)
            for timing in list(self.unfinished):
                if self._is_late():
                    break
                self._visit(timing)
            self.rounds += 1
        for timing in self.unfinished:
            self._conclude(timing)

    def _begin_cells(self, waiting: deque[CellTiming]) -> None:
        """Time cells from ``waiting`` once while memory lasts; drop the others if time is short."""
        room, bytes_held = bytes_for_states_on(torch.device(self.device)), 0
        a_round, longest = 0.0, 0.0
        while waiting and bytes_held <= ROUND_ROOM * room:
            if not self._has_time(a_round, longest):
                waiting.clear()
                break
            begin, timing = time.perf_counter(), waiting.popleft()
            self.unfinished.append(timing)
            self._visit(timing, room)
            if timing.work is not None:
                bytes_held += timing.work.calls.bytes
                a_round += timing.visits[-1].seconds
            longest = max(longest, time.perf_counter() - begin)
        self.rounds = 1

    def _has_time(self, a_round: float, longest: float) -> bool:
        """Return True if there is time to add a cell, and then for ``min_rounds`` rounds."""
        if not self.unfinished:
            return not self._is_late()
        seconds_left = self.until - time.monotonic() - longest
        more = a_round * (1 + 1 / len(self.unfinished))
        return (self.options.min_rounds - 1) * more <= seconds_left

    def _seconds(self) -> float:
        return time.perf_counter() - self.begun

    def _is_late(self) -> bool:
        return time.monotonic() > self.until

    def _is_spent(self) -> bool:
        """Return True if the time is over or, after ``min_rounds``, too short for another round."""
        return self._is_late() or (
            self.rounds >= self.options.min_rounds
            and self._seconds() * (1 + 1 / self.rounds) > self.options.seconds
        )

    def _visit(self, timing: CellTiming, room: float = 0.0) -> None:
        """Time a cell once more, and report it if its times suffice or an error occurs."""
        share = max(self._seconds() / self.options.seconds, self.rounds / self.options.max_rounds)
        self.progress(min(1.0, share), timing.cell.label)
        try:
            if timing.work is None:
                self._begin(timing, room)
            self._measure(timing)
        except Exception as error:
            self.unfinished.remove(timing)
            timing.work = None
            reason = error_in_words(error)
            if is_out_of_memory(error):
                reason += f"; a batch of {timing.batch} does not fit, and no other is timed for it"
            self.done(timing.cell.key, {"timing_reason": reason})
            return
        if timing.is_interval_narrow(self.options) or timing.has_all_rounds(self.options):
            self.unfinished.remove(timing)
            self._conclude(timing)

    def _begin(self, timing: CellTiming, room: float) -> None:
        """Prepare a cell's calls, storing ``room`` bytes of states; warm up, set early columns."""
        ids = torch.arange(timing.batch, device=self.device)
        timing.work = run = prepare_timed_work(self.model, timing.cell, ids, room=room)
        timing.warm = warm_up(run.sample, self.clock, self.warm_up_ms)
        for work in filter(None, (run.network, run.decode)):
            self.clock(work)
        timing.facts = {
            **self.about,
            "first_batch_ms": run.first_ms,
            "timing_network_calls": [run.calls.count, run.calls.count / run.calls.time_factor],
        }
        if timing.batch == 1:
            if self.cold is None:  # one tensor for all cells, as it is large
                self.cold = cache_filler(self.device)
            if self.device.startswith("cuda"):
                steps = timing.cell.steps or run.calls.count
                calls, kernels = count_launches(run.sample)
                _, bare = count_launches(run.network)
                timing.facts |= {
                    "launches_per_step": calls / steps,
                    "kernels_per_step": kernels / steps,
                    "network_kernels_per_step": bare * run.calls.time_factor / steps,
                }

    def _measure(self, timing: CellTiming) -> None:
        assert timing.work is not None
        run, begin = timing.work, time.perf_counter()
        with observe_block(self.device, self.gpu) as block:
            total = self.clock(run.sample)
            network = self.clock(run.network)
            decoder = self.clock(run.decode).ms if run.decode is not None else None
        cold = None
        if timing.batch == 1 and self.cold is not None:
            self.cold.zero_()
            cold = self.clock(run.sample).ms
        seconds = time.perf_counter() - begin
        why, bare = doubts_of_blocks([block], [total]), network.ms * run.calls.time_factor
        visit = TimedVisit(self.rounds, total, bare, decoder, cold, block, why, seconds)
        timing.visits.append(visit)

    def _conclude(self, timing: CellTiming) -> None:
        """Measure the energy if requested and available, free the cell's memory, report columns."""
        assert timing.work is not None
        before = time.perf_counter()
        if self.gpu is not None and self.options.energy_seconds and not self._is_late():
            joules, seconds = self.gpu.joules, self.options.energy_seconds
            timing.joules = joules_per_call(
                timing.work.sample, joules, torch.cuda.synchronize, seconds
            )
            self.begun += time.perf_counter() - before  # energy does not take time from rounds
        timing.work = None  # frees the cell's memory on the device
        self.done(timing.cell.key, timing.columns(self.options, self.device))
