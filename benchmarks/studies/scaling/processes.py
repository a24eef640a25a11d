"""Real runs with one worker process and with two: the second is forecast from the first."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ...running import runner
from ...running.executing import Executor, Pool, Task
from ...running.executing.executor import TellOf, Wanted, always, silent
from ...running.executing.tasks import Pace, Shard
from ...running.executing.world import World
from ...running.setup import set_up
from ...suites.suite import check_suite
from .costs import Costs
from .one_writer import OneWriter
from .work import Work

SAMPLES, BUDGETS, SAMPLERS = 2048, (25, 50, 100), ("euler", "ddpm", "dpmpp_2m", "ipndm")
SUITE = {
    "name": "scaling",
    "models": ["gmm-64d"],
    "samplers": list(SAMPLERS),
    "nfe": list(BUDGETS),
    "start": ["noise"],
    "samples": SAMPLES,
    "reference_samples": 2,
    "converged_samples": 64,
    "metrics": ["rmse"],
    "timing": {"enabled": False},
}


class Timed(Executor):
    """Worker processes, and the seconds that all shards take them, once they have the model.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._pool, self._workers, self.seconds = Pool(workers), workers, 0.0

    def map(
        self,
        tasks: Sequence[Task],
        world: World,
        *,
        tell: TellOf = silent,
        limits: Sequence[float | None] = (),
        wanted: Wanted = always,
    ) -> Generator[tuple[int, Any], None, None]:
        """See :meth:`.Executor.map`."""
        shards = [task for task in tasks if isinstance(task, Shard)]
        if shards:
            for _ in self._pool.map([Pace(shards[0].cell, 0.5)] * self._workers, world):
                pass
        begin = time.monotonic()
        yield from self._pool.map(tasks, world, tell=tell, limits=limits, wanted=wanted)
        self.seconds += time.monotonic() - begin if shards else 0.0

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


def compared(most: int = 2) -> Iterator[dict[str, Any]]:
    """A row for each number of worker processes up to ``most``, of one thread each: seconds of
    sampling, as they were measured, and simulated from the pace of one.
    """
    suite = check_suite(SUITE, "scaling")
    work = Work(SAMPLES, len(SAMPLERS), BUDGETS, batch=suite.batch_size)
    rate = 0.0
    for workers in range(1, most + 1):
        before = torch.get_num_threads()
        torch.set_num_threads(workers)
        try:
            with tempfile.TemporaryDirectory() as folder, closing(Timed(workers)) as executor:
                quiet = Console(quiet=True)
                out = Path(folder) / "run"
                runner.run(set_up(suite, out, device="cpu", console=quiet, executor=executor))
        finally:
            torch.set_num_threads(before)
        rate = rate or work.evaluations / executor.seconds
        simulated = OneWriter(work, workers, Costs(rate=rate)).outcome()
        yield {
            "layout": f"--jobs {workers}",
            "workers": workers,
            "shards": len(work.shards),
            "measured, s": executor.seconds,
            "simulated, s": simulated.sampled,
            "efficiency": work.evaluations / rate / workers / executor.seconds,
        }
