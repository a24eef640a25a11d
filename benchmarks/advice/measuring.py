"""Stored measurements of configurations on latents, and the converged endpoints of these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...results.run_directory.files import read_npz, write_npz, write_text
from ..running.executors import Executor, Failure
from ..running.executors.worker_context import WorkerContext
from ..sampling.shard import CONVERGED_IDS
from ..scoring.endpoints import CONVERGED_STEPS, Doubling, solve_by_doubling
from .race import Squares
from .request import AdviceRequest, Entry
from .tasks import SamplesTask, solve_latents


def check_folder(folder: Path) -> None:
    """Raise ValueError if a folder holds something that no race wrote."""
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    if visible and not (folder / "measured").is_dir():
        raise ValueError(
            f"{folder} holds something else than what advise writes; give --out another folder"
        )


class MeasurementStore:
    """Measurements in a folder, all of one question: another question, or other code, starts over.

    Lines of JSON are appended, so that a kill costs at most the last line; arrays have a file each.
    """

    def __init__(self, folder: Path, question: Mapping[str, Any]) -> None:
        text = json.dumps(question, indent=1, sort_keys=True)
        self._place = folder / "measured" / hashlib.sha256(text.encode()).hexdigest()[:12]
        self._place.mkdir(parents=True, exist_ok=True)
        write_text(self._place / "question.json", text)
        self._values: dict[str, Any] = {}
        self._log = self._place / "measured.jsonl"
        lines = self._log.read_text(encoding="utf-8") if self._log.is_file() else ""
        for line in lines.splitlines():
            with suppress(ValueError, TypeError):  # cut short by a kill: measured again
                key, value = json.loads(line)
                self._values[key] = value

    def get(self, key: str) -> Any:
        """Return the JSON value under a key; None if there is none."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Write a JSON value."""
        self._values[key] = value
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps([key, value]) + "\n")

    def arrays(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays under a key; None if there are none."""
        return read_npz(self._file(key))

    def put_arrays(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays."""
        write_npz(self._file(key), arrays)

    def _file(self, key: str) -> Path:
        return self._place / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npz"


FIRST = 8
"""Latents that decide how many steps are needed."""
PIECE = 32
"""Latents of a task."""
SCORED = 1 << 16
"""First latent that scores are taken on: no race uses so many."""
EXACT = 1e-6
"""Distances below this share of the data's size count as exact."""
RULE = Doubling(64, 1024, negligible=0.01, gain=4)
"""Rule of doubling, as for a suite's reference solutions."""
SOLVED = 72
"""Latents that are solved regardless of the time, about: the first, the leaders', and the scores'."""
SHARE = 0.4
"""Share of the time that reference solutions may take."""


def most_steps(rate: float, seconds: float) -> int:
    """Return the steps of the finest reference solution that there is time for at a rate of evaluations a second."""
    steps = 2 * RULE.first
    while steps < RULE.last and 2 * steps * SOLVED <= SHARE * seconds * rate:
        steps *= 2
    return steps


@dataclass
class ConvergedEndpoints:
    """Converged endpoints of latents 0, 1, … of a seed, stored as they are solved.

    Attributes:
        steps: of the reference solver; 0 where the model knows; None before :meth:`find_steps`.
        resolution: how far off the endpoints may be, root mean square; 0 where they are exact.
        most: steps of the reference solver, as far as there is time for it.
    """

    request: AdviceRequest
    store: MeasurementStore
    executor: Executor
    world: WorkerContext
    steps: int | None = None
    resolution: float = 0.0
    most: int = RULE.last
    _endpoints: dict[tuple[int, int], NDArray] = field(default_factory=dict, repr=False)

    def find_steps(self, measured: Sequence[NDArray]) -> None:
        """Find how many steps the errors need of samples of the first latents, ``(FIRST, *event)`` each.

        Raises:
            Failure: the model fails, or has no finite solution.
        """
        if self.steps is None:
            self.solve(0, FIRST, 0)
            self.steps = 0 if (0, 0) in self._endpoints else None
        if self.steps == 0:
            return
        solution = solve_by_doubling(
            lambda steps: self.ends(0, FIRST, steps),
            measured,
            RULE._replace(last=self.most),
            max(RULE.first, (self.steps or 0) // 2),
        )
        if not np.isfinite(solution.x).all():
            raise Failure("failed", "the reference solver finds no finite endpoints")
        self.steps, self.resolution = solution.steps, solution.resolution

    def squares(self, x: NDArray, start: int) -> Squares:
        """Return squared distances per dimension of samples ``start`` and following ``(n, *event)``."""
        difference = (np.asarray(x, float) - self.ends(start, start + len(x))).reshape(len(x), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.square(difference).mean(1)
        # nothing smaller is resolved: a sample that hits exactly would outweigh all others in a logarithm
        scale = float(np.sqrt(np.square(self.ends(0, FIRST)).mean()))
        least = max(self.resolution, EXACT * scale) ** 2
        return np.where(np.isfinite(means), np.maximum(means, least), np.inf)

    def ends(self, start: int, stop: int, steps: int | None = None) -> NDArray:
        """Return the float64 endpoints of latents ``start`` … ``stop - 1``, by default of the steps that were found."""
        steps = (self.steps or 0) if steps is None else steps
        pieces = list(_pieces(start, stop))
        self.solve(start, stop, steps)
        whole = np.concatenate([self._endpoints[steps, first] for first, _ in pieces])
        return whole[start - pieces[0][0] : stop - pieces[0][0]]

    def solve(self, start: int, stop: int, steps: int | None = None) -> None:
        """Solve for the endpoints of these latents, unless they are stored; raise Failure if the model fails."""
        steps = (self.steps or 0) if steps is None else steps
        todo = []
        for first, last in _pieces(start, stop):
            if (steps, first) in self._endpoints:
                continue
            stored = self.store.arrays(f"ends {steps} {first}")
            if stored is not None:
                self._endpoints[steps, first] = stored["x"]
            else:
                todo.append((first, last))
        if not todo:
            return  # it is called while the executor runs other tasks, which has one map at a time
        for first, x in self._solutions(todo, steps):
            if x is not None:  # else the model does not know
                self._endpoints[steps, first] = np.asarray(x, float)
                self.store.put_arrays(f"ends {steps} {first}", {"x": x})

    def converged_features(self, count: int, space: str) -> NDArray:
        """Return features ``(count, d)`` of converged samples whose latents no race uses."""
        starts = range(CONVERGED_IDS, CONVERGED_IDS + count, PIECE)
        parts = {first: self.store.arrays(f"converged {space} {first}") for first in starts}
        todo = [(first, first + PIECE) for first in starts if parts[first] is None]
        for first, features in self._solutions(todo, CONVERGED_STEPS, space):
            parts[first] = {"f": features}
            self.store.put_arrays(f"converged {space} {first}", {"f": features})
        return np.concatenate([part["f"] for part in parts.values() if part is not None])[:count]

    def _solutions(
        self, pieces: Sequence[tuple[int, int]], steps: int, space: str = ""
    ) -> Iterator[tuple[int, Any]]:
        """Yield the first latent of each piece, and its endpoints or their features."""
        request = self.request
        tasks = [
            request.task(solve_latents, request.seed, start, stop, steps, space)
            for start, stop in pieces
        ]
        for which, outcome in self.executor.map(tasks, self.world):
            if isinstance(outcome, Failure):
                raise outcome
            yield pieces[which][0], outcome


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of the latents that are solved together, the same for every request."""
    bounds = sorted({0, FIRST, SCORED + FIRST, *range(PIECE, stop + PIECE, PIECE)})
    for first, last in pairwise(bounds):
        if last > start and first < stop:
            yield first, last


GENEROUS, SHORTEST = 20.0, 60.0
"""Multiple of its forecast that a task may take, and seconds that every task may."""

Late = Callable[[], bool]


@dataclass
class Bench:
    """Test bench that measures configurations of a model.

    Attributes:
        rate: evaluations a second of all workers together.
        failures: why configurations have no samples, by label.
        started: share of all the time that was over before anything was measured.
    """

    request: AdviceRequest
    store: MeasurementStore
    executor: Executor
    world: WorkerContext
    truth: ConvergedEndpoints
    rate: float
    failures: dict[str, str] = field(default_factory=dict)
    started: float = 0.0

    def of_rest(self, share: float) -> float:
        """Return the share of all the time at which a share of what was left at the start is over."""
        return self.started + (1 - self.started) * share

    def squares(
        self, entries: Sequence[Entry], start: int, stop: int, late: Late
    ) -> Iterator[tuple[int, Squares | None]]:
        """Yield numbers of configurations that there is time for, and squares on these latents, None for a failure."""
        keys = [f"{self.truth.steps} {e.cell.key} {start} {stop}" for e in entries]
        todo = []
        for number, key in enumerate(keys):
            stored = self.store.get(key)
            if stored is None:
                todo.append(number)
            else:
                yield number, self._read_squares(entries[number], stored)
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
        keys = [f"{space} {e.cell.key} {start} {stop}" for e in entries]
        todo = []
        for number, key in enumerate(keys):
            stored = self.store.arrays(key)
            if stored is None:
                todo.append(number)
            else:
                yield number, stored["f"]
        some = [entries[n] for n in todo]
        for which, outcome in self.samples(some, start, stop, late, space, whole=False):
            if isinstance(outcome, Failure):
                self.failures[some[which].label] = outcome.reason
                yield todo[which], None
            else:
                self.store.put_arrays(keys[todo[which]], {"f": outcome["features"]})
                yield todo[which], np.asarray(outcome["features"], float)

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
        """Yield the result of :class:`.SamplesTask` for each entry as it comes; wait for running tasks."""
        tasks = [
            SamplesTask(replace(entry.cell, samples=stop), start, stop, space, whole)
            for entry in entries
        ]
        seconds = [self.forecast(entry, stop - start) * self.executor.size for entry in entries]
        limits = [max(SHORTEST, GENEROUS * duration) for duration in seconds]
        yield from self.executor.map(tasks, self.world, limits=limits, wanted=lambda _: not late())

    def forecast(self, entry: Entry, samples: int) -> float:
        """Return the seconds that samples of a configuration take on all workers, at most."""
        return float(entry.cell.budget or 1) * samples / self.rate

    def _read_squares(self, entry: Entry, value: list[float] | list[str]) -> Squares | None:
        if value and isinstance(value[0], str):
            self.failures[entry.label] = str(value[1])
            return None
        return np.asarray(value, float)
