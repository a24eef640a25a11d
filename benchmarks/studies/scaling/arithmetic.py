"""What a run with many GPUs takes, by arithmetic: the terms that the simulation has, each by itself."""

from __future__ import annotations

from dataclasses import dataclass

from .costs import Costs
from .files import LISTING, RELEASE, SAVE, TAKE, Rules
from .work import Work


@dataclass(frozen=True)
class Arithmetic:
    """Seconds that W processes take for N shards, which share a run directory by claims.

    Failures and different speeds are left out.

    Attributes:
        start: ``start + stagger / 2``: until half of the processes draw.
        sampling: ``E / (r W)``: evaluations over all GPUs' rate.
        shards: ``N (shard + write) / W``: what shards cost beside them.
        files: the more of ``k t / W`` and ``k / R``, for ``k`` operations of all processes, of which
            each takes ``t`` seconds and the file system serves ``R`` a second.
        tail: half of the last shard: how long a process waits for the others, on average.
        references: ``references / r``, by one process.
        scoring: ``ceil(cells / scorers) score``.
    """

    start: float
    sampling: float
    shards: float
    files: float
    tail: float
    references: float
    scoring: float

    @classmethod
    def of(cls, work: Work, workers: int, costs: Costs) -> Arithmetic:
        """Of a run by the present rules."""
        count, rules = len(work.shards), Rules()
        operations = workers * (rules.first(work) + LISTING * work.cells)
        operations += count * (TAKE + SAVE + RELEASE + 2 * LISTING)
        return cls(
            costs.start + costs.stagger / 2,
            work.evaluations / costs.rate / workers,
            count * (costs.shard + costs.write) / workers,
            operations * max(costs.operation / workers, 1 / costs.operations),
            work.shards[-1] / costs.rate / 2,
            costs.references / costs.rate,
            -(-work.cells // costs.scorers) * costs.score,
        )

    @property
    def makespan(self) -> float:
        """Their sum."""
        return sum(vars(self).values())


def graham(work: Work, workers: int, costs: Costs) -> float:
    """Seconds that no order of handing out shards exceeds: ``S / W + (1 - 1 / W) longest``, where ``S``
    is what one worker would take for all (R. L. Graham, SIAM J. Appl. Math. 17, 1969, theorem 2).
    """
    each = costs.shard + costs.write
    alone = [evaluations / costs.rate + each for evaluations in work.shards]
    return sum(alone) / workers + (1 - 1 / workers) * max(alone)
