"""Real runs whose workers sleep: the program's own runner, claims and files, with as many workers as a
machine has room for threads.

A worker samples a small exact problem and then sleeps for as long as the evaluations of a large one
would take. So what is not sleep is what the program itself costs, and its table is that of any run.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console

from ....results.result_table import ResultTable
from ....results.run_directory.run_dir import RunDir
from ...running import runner
from ...running.executing import Executor, Failure, InProcess, Task
from ...running.executing.executor import Tell, TellOf, Wanted, always, result_of, silent
from ...running.executing.tasks import Shard
from ...running.executing.world import World
from ...running.setup import set_up
from ...sampling.shard import SHARD
from ...suites.suite import check_suite
from .costs import Costs
from .one_writer import OneWriter
from .sharing import Sharing
from .work import Work

SUITE = {
    "name": "scaling",
    "models": ["gmm-2d"],
    "start": ["noise"],
    "reference_samples": 2,
    "converged_samples": 64,
    "metrics": ["rmse"],
    "timing": {"enabled": False},
}
LAYOUTS = ("shared", "one writer")
RATE = 256.0
"""Evaluations per second of a sleeping worker: shards of 2, 4 and 8 seconds."""

SAMPLERS = ("euler", "ddim(eta=0.5)", "ddpm", "euler_maruyama")
"""Of one evaluation a step, so that budgets are spent whole."""


@dataclass
class Clock:
    """When shards were begun and there, by all workers.

    Attributes:
        first: seconds, when the first was begun.
        last: when the last was there.
        shards: how many there were.
    """

    first: float = float("inf")
    last: float = 0.0
    shards: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def seconds(self) -> float:
        """From the first to the last."""
        return self.last - self.first


@dataclass(frozen=True)
class _Sleeper:
    """Samples, and then sleeps until the evaluations would be done."""

    rate: float
    clock: Clock

    def __call__(self, task: Task, world: World, tell: Tell) -> Any:
        begin = time.monotonic()
        if not isinstance(task, Shard):
            return InProcess().run(task, world, tell=tell)
        with self.clock.lock:  # what looks for draws without a seed looks at the whole process
            arrays = result_of(partial(InProcess().run, task, world, tell=tell))
        if isinstance(arrays, Failure):
            return arrays
        evaluations = (task.stop - task.start) * float(arrays["nfe"].mean())
        time.sleep(max(0.0, begin + evaluations / self.rate - time.monotonic()))
        with self.clock.lock:
            self.clock.first = min(self.clock.first, begin)
            self.clock.last = time.monotonic()
            self.clock.shards += 1
        return arrays


class Sleeping(Executor):
    """Several workers that sleep, and one that iterates; one worker samples where it is called.

    Args:
        workers: how many.
        rate: evaluations per second that each is to seem to make.
        clock: told when shards are there.
    """

    def __init__(self, workers: int, rate: float, clock: Clock) -> None:
        self._workers, self._sleeper = workers, _Sleeper(rate, clock)

    def map(
        self,
        tasks: Sequence[Task],
        world: World,
        *,
        tell: TellOf = silent,
        limits: Sequence[float | None] = (),  # noqa: ARG002
        wanted: Wanted = always,
    ) -> Generator[tuple[int, Any], None, None]:
        """See :meth:`.Executor.map`; no limits are kept."""
        if self._workers == 1:
            for number, task in enumerate(tasks):
                if wanted(number):
                    yield number, self._sleeper(task, world, lambda n, k=number: tell(k, n))
            return
        numbers, lock, said = iter(range(len(tasks))), threading.Lock(), SimpleQueue()

        def work() -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                found = self._sleeper(tasks[number], world, silent) if wanted(number) else None
                said.put((number, found))

        with ThreadPoolExecutor(self._workers) as threads:
            for _ in range(self._workers):
                threads.submit(work)
            for _ in tasks:
                number, found = said.get()
                if found is not None:
                    yield number, found


@dataclass(frozen=True)
class Compared:
    """A real run with sleeping workers, and the same one simulated.

    Attributes:
        layout: ``shared`` for processes that share a run directory, ``one writer``.
        workers: how many.
        shards: how many.
        ideal: seconds that sleep alone would take.
        measured: seconds from the first shard's beginning to the last one's end.
        simulated: the same of the simulation.
        table: of the real run.
    """

    layout: str
    workers: int
    shards: int
    ideal: float
    measured: float
    simulated: float
    table: ResultTable = field(repr=False)


def compare(
    folder: Path,
    layout: str,
    workers: int,
    samples: int,
    budgets: Sequence[int],
    rate: float,
    costs: Costs | None = None,
) -> Compared:
    """Run and simulate.

    Args:
        folder: run directory, empty.
        layout: see :class:`Compared`.
        workers: >= 2.
        samples: of each cell.
        budgets: evaluations per sample.
        rate: evaluations per second of a sleeping worker.
        costs: what the program's own work takes, beside the rate; None for nothing.
    """
    suite = check_suite(
        {**SUITE, "samplers": list(SAMPLERS), "nfe": list(budgets), "samples": samples}, "scaling"
    )
    clock, shared, quiet = Clock(), layout == "shared", Console(quiet=True)
    setup = set_up(
        suite,
        folder,
        device="cpu",
        console=quiet,
        executor=Sleeping(1 if shared else workers, rate, clock),
        join=shared,
    )
    if shared:
        each = [
            replace(setup, directory=RunDir.at(folder, join=True), executor=setup.executor)
            for _ in range(workers)
        ]
        with ThreadPoolExecutor(workers) as threads:
            tables = [table for table in threads.map(runner.run_or_join, each) if table is not None]
        table = tables[0]
    else:
        table = runner.run(setup)
    work = Work(samples, len(SAMPLERS), budgets, batch=suite.batch_size)
    simulated = (Sharing if shared else OneWriter)(
        work, workers, replace(costs or Costs(), rate=rate)
    )
    outcome = simulated.outcome()
    return Compared(
        layout, workers, clock.shards, outcome.ideal, clock.seconds, outcome.sampled, table
    )


def compared(
    layouts: Sequence[str] = LAYOUTS, workers: Sequence[int] = (8, 64, 200)
) -> Iterator[dict[str, Any]]:
    """Rows of both layouts with some numbers of workers, each of which sleeps for about twelve shards."""
    for layout in layouts:
        for count in workers:
            samples = SHARD * count
            with tempfile.TemporaryDirectory() as folder:
                found = compare(Path(folder) / "run", layout, count, samples, (1, 2, 4), RATE)
            yield {
                "layout": found.layout,
                "workers": found.workers,
                "shards": found.shards,
                "measured, s": found.measured,
                "simulated, s": found.simulated,
                "efficiency": found.ideal / found.measured,
            }
