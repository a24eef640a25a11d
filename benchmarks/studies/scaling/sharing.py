"""A run of processes that share a run directory by claims, as :mod:`...running.sharing` has them."""

from __future__ import annotations

import math

from ....results.run_directory.leases import BEAT, STALE
from ...running.sharing import PAUSE, pause
from .costs import Costs
from .engine import (
    FILES,
    IDLE,
    REFERENCES,
    SAMPLING,
    SCORING,
    SHARD,
    START,
    WRITE,
    Engine,
    Life,
    Worker,
    unless_nothing,
)
from .files import REFUSED, RELEASE, SAVE, TAKE, Rules, asked
from .shards import Shards
from .work import Work

FEW, PACES = 100, 8
"""Operations after which the pace is looked at anew; of many, a share each time."""


class Sharing(Engine):
    """Processes with a GPU each. One leads: it samples as all do, and then makes references and
    scores while the others have nothing to do.

    Args:
        work: what there is to draw.
        workers: how many processes.
        costs: what everything takes.
        seed: of speeds and failures.
        rules: of the program.
    """

    def __init__(
        self, work: Work, workers: int, costs: Costs, seed: int = 0, rules: Rules | None = None
    ) -> None:
        super().__init__(work, workers, costs, seed)
        self.rules = rules or Rules()
        self.shards = Shards(len(work.shards))
        self._has: dict[int, int] = {}
        self._asking = 0
        self._leader: int | None = None
        self._free_from = 0.0
        self._referenced, self._scored = False, 0

    def life(self, worker: Worker) -> Life:
        """See :meth:`.Engine.life`."""
        yield self.costs.start, START
        while True:
            if self._leader is None and self.now >= self._free_from:
                self._leader = worker.number
            yield from self._sample(worker)
            if self._leader == worker.number:
                yield from self._score(worker)
                return
            if self._leader is not None:
                return  # it has drawn what there was
            yield max(PAUSE, self._free_from - self.now), IDLE

    def lost(self, worker: Worker) -> None:
        """Its claim and its plan grow stale: the last touch was up to a beat ago."""
        until = self.now + STALE - self.random.uniform(0.0, BEAT)
        if worker.step[1] == FILES and worker.life is not None:
            self._asking -= 1
        if (number := self._has.pop(worker.number, None)) is not None:
            self.shards.abandon(number, until)
        if self._leader == worker.number:
            self._leader, self._free_from = None, until

    def _sample(self, worker: Worker) -> Life:
        """What :func:`.sharing.sample` does."""
        begun, shards, look = True, self.shards, self.rules.first(self.work)
        turn = self.random.random() if self.rules.turns and worker.number != self._leader else 0.0
        while shards.left:
            looked, asks = self.now, not (begun and self.rules.lists)
            yield from self._files(look)
            look = self.rules.missing(self.work)
            begun, todo = False, shards.left
            for place, end in self.work.pieces(turn):
                while place < end:
                    # a listing has the claims of dead processes too
                    known = self.now if asks else -math.inf
                    found = min(shards.free(place, known), end)
                    passed = min(found - place, todo), shards.claimed
                    yield from self._files(
                        asked(*passed) if asks else self.rules.passing(self.work, *passed)
                    )
                    if found < end and found == shards.free(found, known):
                        begun = True
                        yield from self._draw(worker, found)
                    elif found < end:
                        yield from self._files(REFUSED)
                    place = found + 1
            if not begun and shards.left:
                if self._leader is None and self.now >= self._free_from:
                    return
                looks = self.now - looked
                yield (pause(looks) if self.rules.patient else PAUSE), IDLE

    def _draw(self, worker: Worker, number: int) -> Life:
        costs, shards = self.costs, self.shards
        shards.claim(number)
        self._has[worker.number] = number
        yield from self._files(TAKE)
        yield self.work.shards[number] / costs.rate / worker.speed, SAMPLING
        yield from unless_nothing(costs.shard, SHARD)
        yield from unless_nothing(costs.write, WRITE)
        yield from self._files(SAVE + RELEASE)
        del self._has[worker.number]
        shards.finish()
        self.finished(number)

    def _score(self, worker: Worker) -> Life:
        if not self._referenced:
            seconds = self.costs.references / self.costs.rate / worker.speed
            yield from unless_nothing(seconds, REFERENCES)
            self._referenced = True
        while self._scored < self.work.cells:
            yield from unless_nothing(self.costs.score, SCORING)
            self._scored += self.costs.scorers
        self.done()

    def _files(self, operations: float) -> Life:
        """Some operations, one after the other, at the pace of as many processes as ask meanwhile."""
        costs = self.costs
        self._asking += 1
        while operations > 0:
            some = min(operations, max(FEW, operations / PACES))
            operations -= some
            each = max(costs.operation, self._asking / costs.operations)
            yield from unless_nothing(some * each, FILES)
        self._asking -= 1
