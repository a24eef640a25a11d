"""What everything takes, in seconds: some of it measured (:mod:`.measure`), some assumed."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Costs:
    """What a simulated run takes.

    Attributes:
        rate: evaluations per second of one worker, > 0.
        start: seconds from a worker's launch to its first shard: imports, plan, model.
        stagger: seconds over which workers are launched, evenly.
        shard: seconds of a shard beside evaluations and files: packed, sent, unpacked.
        write: seconds that writing a shard takes whoever writes it.
        operation: seconds that one operation on the run directory takes, such as to open a file.
        operations: how many per second the file system serves, for all workers together.
        references: evaluations that the leader takes, once all samples are there, before it
            can score.
        score: seconds to score a cell, reading its shards included.
        scorers: how many cells are scored at a time, >= 1.
        spread: standard deviation of the logarithm of a worker's speed.
        mtbf: mean seconds between failures of a node.
        back: seconds after which a failed node is there again, with new workers; inf for never.
        node: workers of a node.
    """

    rate: float = 1.0
    start: float = 0.0
    stagger: float = 0.0
    shard: float = 0.0
    write: float = 0.0
    operation: float = 0.0
    operations: float = inf
    references: float = 0.0
    score: float = 0.0
    scorers: int = 1
    spread: float = 0.0
    mtbf: float = inf
    back: float = inf
    node: int = 8
