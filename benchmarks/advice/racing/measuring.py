"""Measures configurations on latents: kept results first, then what an executor makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...running.executors import Executor, Failure
from ...running.executors.executor import always
from ...running.executors.worker_context import WorkerContext
from ..asked.request import AdviceRequest, Entry
from .paired import Squares
from .store import Store
from .tasks import Ends
from .truth import Truth

GENEROUS, SHORTEST = 20.0, 60.0
"""Multiple of its forecast that a task may take, and seconds that every task may."""

Late = Callable[[], bool]


@dataclass
class Bench:
    """Test bench that measures configurations of a model.

    Attributes:
        asked: the model.
        store: what was measured.
        executor: where samplers run.
        world: of this process.
        truth: where latents lead.
        rate: evaluations a second of all workers together.
        failures: why configurations have no samples, by label.
        started: share of all the time that was over before anything was measured.
    """

    asked: AdviceRequest
    store: Store
    executor: Executor
    world: WorkerContext
    truth: Truth
    rate: float
    failures: dict[str, str] = field(default_factory=dict)
    started: float = 0.0

    def of_rest(self, share: float) -> float:
        """Return the share of all the time at which a share of what was left at the start is over."""
        return self.started + (1 - self.started) * share

    def squares(
        self, entries: Sequence[Entry], start: int, stop: int, late: Late
    ) -> Iterator[tuple[int, Squares | None]]:
        """Yield the number of each configuration and its squares on latents ``start`` … ``stop - 1``, None
        if it fails; configurations without time are left out.
        """
        keys = [f"{self.truth.steps} {self._key(entry, start, stop)}" for entry in entries]
        todo = []
        for number, (entry, key) in enumerate(zip(entries, keys, strict=True)):
            stored = self.store.get(key)
            if stored is None:
                todo.append(number)
            else:
                yield number, self._read_squares(entry, stored)
        if not todo or late():
            return
        self.truth.solve(start, stop)
        for which, outcome in self.samples([entries[n] for n in todo], start, stop, late):
            number = todo[which]
            value = (
                [outcome.status, outcome.reason]
                if isinstance(outcome, Failure)
                else self.truth.squares(outcome["endpoint"], start).tolist()
            )
            self.store.put(keys[number], value)
            yield number, self._read_squares(entries[number], value)

    def features(
        self, entries: Sequence[Entry], start: int, stop: int, space: str, late: Late
    ) -> Iterator[tuple[int, NDArray | None]]:
        """Yield the features ``(stop - start, d)`` of the samples, as :meth:`squares` does."""
        keys = [f"{space} {self._key(entry, start, stop)}" for entry in entries]
        todo = []
        for number, key in enumerate(keys):
            stored = self.store.arrays(key)
            if stored is None:
                todo.append(number)
            else:
                yield number, stored["f"]
        for which, outcome in self.samples(
            [entries[n] for n in todo], start, stop, late, space, whole=False
        ):
            number = todo[which]
            if isinstance(outcome, Failure):
                self.failures[entries[number].label] = outcome.reason
                yield number, None
            else:
                self.store.put_arrays(keys[number], {"f": outcome["features"]})
                yield number, np.asarray(outcome["features"], float)

    def samples(
        self,
        entries: Sequence[Entry],
        start: int,
        stop: int,
        late: Late = bool,
        space: str = "",
        *,
        whole: bool = True,
    ) -> Iterator[tuple[int, dict[str, NDArray] | Failure]]:
        """Yield the result of :class:`.tasks.Ends` for each entry as it comes; wait for running tasks."""
        tasks = [
            Ends(replace(entry.cell, samples=stop), start, stop, space, whole) for entry in entries
        ]
        seconds = [self.forecast(entry, stop - start) * self.executor.size for entry in entries]
        yield from self.executor.map(
            tasks,
            self.world,
            limits=[max(SHORTEST, GENEROUS * duration) for duration in seconds],
            wanted=(lambda _: not late()) if late is not bool else always,
        )

    def forecast(self, entry: Entry, samples: int) -> float:
        """Return the seconds that samples of a configuration take on all workers."""
        return evaluations(entry) * samples / self.rate

    def _key(self, entry: Entry, start: int, stop: int) -> str:
        return f"{entry.cell.key} {start} {stop}"

    def _read_squares(self, entry: Entry, value: list[float] | list[str]) -> Squares | None:
        if value and isinstance(value[0], str):
            self.failures[entry.label] = str(value[1])
            return None
        return np.asarray(value, float)


def evaluations(entry: Entry) -> float:
    """Return the evaluations that a sample of a configuration takes at most: its budget."""
    return float(entry.cell.budget or 1)
