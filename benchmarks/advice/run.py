"""Run of ``advise``: the state that its stages share, its clock, and measurements within its time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..running.executors import Executor, Failure
from ..scoring.feature_references import CARD
from .race import Late, never
from .tasks import SamplingTask

if TYPE_CHECKING:
    from ..running.executors.worker_context import WorkerContext
    from .answer import Value
    from .measuring import ConvergedEndpoints, MeasurementStore
    from .race import Squares
    from .request import AdviceRequest, Entry

COMPARISONS_END = 0.93
"""Share of the time limit at which comparisons end, and timings and pictures begin."""
RACES_END = (0.5, 0.85)
"""Least and largest share of the time at which races end; the least excludes the start-up."""
OVER = 0.3
"""Share of the time from the planned end of the races to ``COMPARISONS_END`` that races may overrun."""
ENTRIES = 7
"""Approximate number of configurations that are scored at a budget."""


class OutOfTime(KeyboardInterrupt):
    """Exception that breaks off a stage whose time is over."""


class Clock:
    """Clock of a run that has ``minutes`` from ``begun`` (``time.monotonic()``) or from now."""

    def __init__(self, minutes: float, begun: float | None = None) -> None:
        self.minutes = minutes
        self._begin = time.monotonic() if begun is None else begun

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    @property
    def share_spent(self) -> float:
        """Share of the time limit that is over."""
        return self.spent / 60 / self.minutes

    def seconds_until(self, share: float) -> float:
        """Return the seconds until a share of the time limit is over, below 0 afterwards."""
        return 60 * self.minutes * share - self.spent

    def late_after(self, share: float) -> Late:
        """Return a function that returns True once a share of the time limit is over."""
        return lambda: self.seconds_until(share) <= 0

    @contextmanager
    def raise_when_over(self, share: float) -> Iterator[None]:
        """Interrupt the block with :class:`OutOfTime` once a share of the time limit is over.

        Only the main thread can be interrupted. In other threads the block runs to its end. In a nested
        block, only the inner limit holds.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ring(_number: int, _frame: Any) -> None:
            raise OutOfTime

        before, begun = signal.signal(signal.SIGALRM, ring), time.monotonic()
        outer, _ = signal.setitimer(signal.ITIMER_REAL, max(self.seconds_until(share), 1e-3))
        try:
            yield
        finally:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
            finally:  # the alarm may ring until then
                signal.signal(signal.SIGALRM, before)
                if outer:
                    left = begun + outer - time.monotonic()
                    signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3))


GENEROUS, SHORTEST = 20.0, 60.0
"""Time limit of a task: this multiple of its forecast, and at least this many seconds."""

PASSING = ("killed", "timed out")
"""States of failures that the machine may cause, as does memory that runs out: the next run measures again."""
Progress = Callable[[str], None]
Key = TypeVar("Key", bound=Hashable)
"""Name that a caller gives to an entry, such as a number or a label."""


@dataclass
class AdviceRun:
    """State of a run of ``advise``, which all its stages share, and its measurements.

    Attributes:
        out: folder of the answer.
        context: worker context of this process.
        rate: evaluations a second of all workers together.
        budgets: numbers of evaluations a sample with a race each, rising.
        started: share of the time limit that was used before the first measurement.
        failures: reasons why configurations have no samples, by the cell's key; of fits, by name.
        without_auto: reasons why ``auto`` was not tried, by budget.
    """

    request: AdviceRequest
    out: Path
    clock: Clock
    executor: Executor
    context: WorkerContext
    store: MeasurementStore
    endpoints: ConvergedEndpoints
    rate: float
    budgets: Sequence[int]
    progress: Progress
    started: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    without_auto: dict[int, str] = field(default_factory=dict)

    def share_of_total(self, share: float) -> float:
        """Return ``started`` plus ``share`` of the time after it, as a share of the time limit."""
        return self.started + (1 - self.started) * share

    @property
    def races_end_share(self) -> float:
        """Share of the time at which races and fits should end."""
        total = 60 * self.clock.minutes * self.rate  # evaluations
        own = self.request.extractor == CARD and self.request.feature_extractor is not None
        at_all = sum(self.budgets)
        # numbers of samples are as in COUNTS of budget_answer.py and of distribution.py; a converged
        # sample has CONVERGED_STEPS = 64 steps, an endpoint about 256
        scores = 64 * (256 + ENTRIES * at_all) / total
        least = ((0 if own else 128 * 64) + 128 * ENTRIES * at_all) / total
        whole = ((0 if own else 512 * 64) + at_all * (ENTRIES * 512 + 20 * 128)) / total
        # no time is kept for distances in distribution if there is too little
        least_raced = self.share_of_total(RACES_END[0])
        after = scores + (whole if scores + least <= COMPARISONS_END - least_raced else 0.0)
        return min(max(COMPARISONS_END - after, least_raced), RACES_END[1])

    @property
    def break_off_share(self) -> float:
        """Share of the time at which running races and fits are broken off."""
        return self.races_end_share + OVER * (COMPARISONS_END - self.races_end_share)

    def measure_squares(
        self, entries: Mapping[Key, Entry], start: int, stop: int, late: Late
    ) -> Iterator[tuple[Key, Squares | None]]:
        """Yield keys and squared distances of entries on latents ``start`` … ``stop - 1``.

        Failed entries yield None. Once ``late()`` is True, no further task starts.
        """
        suffix, todo = f"{start} {stop}", {}
        for key, entry in entries.items():
            stored = self.store.get(f"{self.endpoints.steps} {entry.cell.key} {suffix}")
            if stored is None:
                todo[key] = entry
            else:
                yield key, self._read_squares(entry, stored)
        if not todo or late():
            return
        self.endpoints.solve(start, stop)
        for key, outcome in self.draw_samples(todo, start, stop, late):
            value = (
                outcome.reason
                if isinstance(outcome, Failure)
                else self.endpoints.squared_distances(outcome, start).tolist()
            )
            passing = isinstance(outcome, Failure) and (outcome.status in PASSING or outcome.shrink)
            if not passing:
                self.store.put(f"{self.endpoints.steps} {todo[key].cell.key} {suffix}", value)
            yield key, self._read_squares(todo[key], value)

    def measure_features(
        self, entries: Mapping[Key, Entry], start: int, stop: int, space: str, late: Late
    ) -> Iterator[tuple[Key, NDArray | None]]:
        """Yield keys and features ``(n, d)`` in ``space``; see :meth:`measure_squares`."""
        suffix, todo = f"{start} {stop}", {}
        for key, entry in entries.items():
            stored = self.store.get_array(f"{space} {entry.cell.key} {suffix}")
            if stored is None:
                todo[key] = entry
            else:
                yield key, stored
        for key, outcome in self.draw_samples(todo, start, stop, late, space):
            if isinstance(outcome, Failure):
                self.failures[todo[key].cell.key] = outcome.reason
                yield key, None
            else:
                self.store.put_array(f"{space} {todo[key].cell.key} {suffix}", outcome)
                yield key, np.asarray(outcome, float)

    def draw_samples(
        self,
        entries: Mapping[Key, Entry],
        start: int,
        stop: int,
        late: Late = never,
        space: str = "",
    ) -> Iterator[tuple[Key, NDArray | Failure]]:
        """Yield keys and samples, features in ``space`` or failures, in the order of completion."""
        keys, tasks, limits = list(entries), [], []
        for entry in entries.values():
            tasks.append(SamplingTask(replace(entry.cell, samples=stop), start, stop, space))
            seconds = self.forecast_seconds(entry, stop - start)
            limits.append(max(SHORTEST, GENEROUS * self.executor.size * seconds))
        for which, outcome in self.executor.map(
            tasks, self.context, limits=limits, wanted=lambda _: not late()
        ):
            yield keys[which], outcome

    def forecast_seconds(self, entry: Entry, samples: int) -> float:
        """Return an upper estimate of the seconds for samples of a configuration on all workers."""
        return float(entry.cell.budget or 1) * samples / self.rate

    def _read_squares(self, entry: Entry, value: list[float] | str) -> Squares | None:
        if isinstance(value, str):  # the reason of a failure
            self.failures[entry.cell.key] = value
            return None
        return np.asarray(value, float)


@dataclass
class BudgetResult:
    """Results at one budget. The race sets the fields up to ``untuned``, later stages the others.

    Attributes:
        survivors: configurations that were not dropped, by field (:data:`.FIELDS`), the best first.
        errors: errors of the configurations tried, by label. They are over the first round's latents.
        best: smallest of ``errors`` in each field.
        timely: True if the race ended within its time.
        tried, left_out, latents, hopeless: see :class:`.answer.Budget`.
        untuned: leader of each field before the race of fitted configurations; empty without fits.
        chosen: entries to score, each label once; the first is the present sampler.
        alternatives: usual solvers of the requested library, to score as well.
        squares: squared distances ``(n,)`` by label, on latents that decided no choice.
        distances: distances in distribution (``fd_conv``) by label.
        nearest: entry with the smallest distance among those significantly nearer than the race's
            leader; None without any.
    """

    budget: int
    survivors: Mapping[str, Sequence[Entry]]
    errors: Mapping[str, float]
    best: Mapping[str, float]
    tried: int
    left_out: int
    latents: int
    timely: bool
    hopeless: int = 0
    untuned: Mapping[str, Entry] = field(default_factory=dict)
    chosen: Sequence[Entry] = ()
    alternatives: Sequence[Entry] = ()
    squares: dict[str, Squares] = field(default_factory=dict)
    distances: Mapping[str, Value] = field(default_factory=dict)
    nearest: Entry | None = None

    @property
    def leaders(self) -> dict[str, Entry]:
        """Best survivor of each field that has any."""
        return {name: ranked[0] for name, ranked in self.survivors.items()}

    @property
    def default(self) -> Entry:
        """Entry of the present sampler, the first of ``chosen``."""
        return self.chosen[0]
