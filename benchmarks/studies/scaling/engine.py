"""Workers that come, work, fail and go, event by event: what both layouts of a run share."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from .costs import Costs
from .work import Work

Step = tuple[float, str]
"""Seconds, and what they are spent on."""

Life = Generator[Step, None, None]
"""What a worker does, step by step."""

SAMPLING, LOST, IDLE, GONE = "sampling", "lost", "idle", "gone"
"""What time is spent on: evaluations of use; those of a shard that was being drawn when its node
failed; nothing; and not being there.
"""

START, SHARD, WRITE, FILES = "start", "shards", "writing", "files"
"""Until the first shard; what a shard costs beside its evaluations; the bytes of results; and questions
to the file system.
"""

REFERENCES, SCORING = "references", "scoring"
"""What whoever leads does alone."""


@dataclass
class Worker:
    """One GPU and its process.

    Attributes:
        number: from 0.
        speed: relative to others.
        life: what it does; None where it ended or is gone.
        births: how many times it was launched.
        at: when its present step began.
        step: that step.
        spent: seconds by what they were spent on.
    """

    number: int
    speed: float
    life: Life | None = None
    births: int = 0
    at: float = 0.0
    step: Step = (0.0, IDLE)
    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated run.

    Attributes:
        workers: how many.
        makespan: seconds from the first launch until all cells are scored; inf where it stopped
            before, since nobody was left.
        sampled: seconds until the last shard was there.
        spent: seconds of all workers together, by what they were spent on; they sum to ``workers``
            times ``makespan``.
        failures: how many nodes failed.
        drawn: how many times each shard was finished.
        ideal: seconds that evaluations alone would take, shared evenly.
    """

    workers: int
    makespan: float
    sampled: float
    spent: dict[str, float]
    failures: int
    drawn: tuple[int, ...]
    ideal: float

    @property
    def efficiency(self) -> float:
        """Share of the time of all workers that evaluations are of use in, 0 to 1."""
        return self.ideal / self.makespan if self.makespan else 1.0


class Engine(ABC):
    """A run, until all its cells are scored.

    Args:
        work: what there is to draw.
        workers: how many GPUs, >= 1.
        costs: what everything takes.
        seed: of speeds and failures.
    """

    def __init__(self, work: Work, workers: int, costs: Costs, seed: int = 0) -> None:
        self.work, self.costs, self.now, self.failures = work, costs, 0.0, 0
        self.random = random.Random(seed)
        self.workers = [
            Worker(number, math.exp(self.random.gauss(0.0, costs.spread) if costs.spread else 0.0))
            for number in range(workers)
        ]
        self.end, self.sampled, self.drawn = math.inf, 0.0, [0] * len(work.shards)
        self._events: list[tuple[float, int, str, int, int]] = []
        self._count = 0

    @abstractmethod
    def life(self, worker: Worker) -> Life:
        """What a worker does from its launch on."""

    @abstractmethod
    def lost(self, worker: Worker) -> None:
        """A worker's node failed."""

    def run(self) -> None:
        """From the first launch to the end."""
        for worker in self.workers:
            self.launch(worker, self.costs.stagger * worker.number / len(self.workers))
        if self.costs.mtbf < math.inf:
            for node in range(-(-len(self.workers) // self.costs.node)):
                self._fails(node)
        while self._events and self.end == math.inf:
            self.now, _, kind, number, birth = heappop(self._events)
            if kind == "wake":
                self._wake(self.workers[number], birth)
            elif kind == "fails":
                self._fail(number)
            elif kind == "done":
                self.done()
        for worker in self.workers:
            self._settle(worker, min(self.end, self.now))

    def outcome(self) -> Outcome:
        """Run it."""
        self.run()
        spent: dict[str, float] = defaultdict(float)
        for worker in self.workers:
            for kind, seconds in worker.spent.items():
                spent[kind] += seconds
        speed = sum(worker.speed for worker in self.workers)
        return Outcome(
            len(self.workers),
            self.end,
            self.sampled,
            dict(spent),
            self.failures,
            tuple(self.drawn),
            self.work.evaluations / self.costs.rate / speed,
        )

    def finished(self, number: int) -> None:
        """A shard is there."""
        self.drawn[number] += 1
        self.sampled = self.now

    def launch(self, worker: Worker, when: float) -> None:
        """A worker begins; what it does not do until then, it is idle or gone."""
        worker.births += 1
        worker.life, worker.step = self.life(worker), (when - worker.at, worker.step[1])
        self._push(when, "wake", worker.number, worker.births)

    def resume(self, worker: Worker) -> None:
        """One that is idle goes on now."""
        worker.step = (self.now - worker.at, IDLE)
        self._push(self.now, "wake", worker.number, worker.births)

    def done(self) -> None:
        """All cells are scored."""
        self.end = self.now

    def _push(self, when: float, kind: str, number: int, birth: int = 0) -> None:
        self._count += 1
        heappush(self._events, (when, self._count, kind, number, birth))

    def _wake(self, worker: Worker, birth: int) -> None:
        if birth != worker.births or worker.life is None:
            return
        worker.spent[worker.step[1]] += self.now - worker.at
        worker.at = self.now
        for step in worker.life:
            worker.step = step
            if step[0] < math.inf:
                self._push(self.now + step[0], "wake", worker.number, worker.births)
            return
        worker.life, worker.step = None, (math.inf, IDLE)

    def _fails(self, node: int) -> None:
        self._push(self.now + self.random.expovariate(1 / self.costs.mtbf), "fails", node)

    def _fail(self, node: int) -> None:
        """All workers of a node are gone, for a while or for good."""
        here = self.workers[node * self.costs.node : (node + 1) * self.costs.node]
        self.failures += 1
        for worker in here:
            self.lost(worker)
            self._settle(worker, self.now)
            worker.births += 1
            worker.life, worker.step = None, (math.inf, GONE)
        if self.costs.back < math.inf:
            for worker in here:
                self.launch(worker, self.now + self.costs.back)
            self._push(
                self.now + self.costs.back + self.random.expovariate(1 / self.costs.mtbf),
                "fails",
                node,
            )

    def _settle(self, worker: Worker, when: float) -> None:
        """What a worker was doing until it was stopped."""
        kind = LOST if worker.step[1] == SAMPLING else worker.step[1]
        worker.spent[kind] += when - worker.at
        worker.at = when


def unless_nothing(seconds: float, kind: str) -> Life:
    """A step, unless it takes no time."""
    if seconds > 0:
        yield seconds, kind
