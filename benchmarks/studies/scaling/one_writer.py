"""A run of one process that hands out shards to many workers, and writes what comes back, as
:mod:`...running.executing.pool` has it, and executors of clusters have.
"""

from __future__ import annotations

import math
from collections import deque

from .costs import Costs
from .engine import IDLE, SAMPLING, SHARD, START, Engine, Life, Worker, unless_nothing
from .work import Work


class OneWriter(Engine):
    """Workers with a GPU each, and a process beside them that writes, makes references and scores.

    Arguments as :class:`.Engine`.

    Attributes:
        waiting: results that waited to be written, at most.
    """

    def __init__(self, work: Work, workers: int, costs: Costs, seed: int = 0) -> None:
        super().__init__(work, workers, costs, seed)
        self.waiting = 0
        self._todo, self._left = deque(range(len(work.shards))), len(work.shards)
        self._has: dict[int, int] = {}
        self._written: deque[float] = deque()
        self._busy_until = 0.0

    def life(self, worker: Worker) -> Life:
        """See :meth:`.Engine.life`."""
        costs = self.costs
        yield costs.start, START
        while True:
            if not self._todo:
                yield math.inf, IDLE
                continue
            number = self._has[worker.number] = self._todo.popleft()
            yield self.work.shards[number] / costs.rate / worker.speed, SAMPLING
            yield from unless_nothing(costs.shard, SHARD)
            del self._has[worker.number]
            self._write(number)

    def lost(self, worker: Worker) -> None:
        """Its shard is handed out again, at once: its connection broke."""
        number = self._has.pop(worker.number, None)
        if number is None:
            return
        self._todo.appendleft(number)
        idle = (w for w in self.workers if w.life and w.step == (math.inf, IDLE))
        for other in idle:
            if other.number // self.costs.node != worker.number // self.costs.node:
                self.resume(other)
                break

    def _write(self, number: int) -> None:
        """A result comes back; the last one is followed by what this process does alone."""
        costs = self.costs
        self._busy_until = max(self._busy_until, self.now) + costs.write
        self._written.append(self._busy_until)
        while self._written[0] <= self.now and len(self._written) > 1:
            self._written.popleft()
        self.waiting = max(self.waiting, len(self._written))
        self.finished(number)
        self._left -= 1
        if not self._left:
            rounds = -(-self.work.cells // costs.scorers)
            alone = costs.references / costs.rate + rounds * costs.score
            self.sampled = self._busy_until
            self._push(self._busy_until + alone, "done", 0)
