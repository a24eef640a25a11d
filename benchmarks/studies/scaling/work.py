"""What a run has to draw, shard by shard, as the program cuts and orders it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ....results.run_directory.places import pieces
from ...running.sharing import in_turn
from ...sampling.shard import SHARD, whole_shard

BUDGETS = (1, 2, 3, 5, 8, 10, 15, 20, 35, 50)
"""Evaluations per sample of the cells of a sampler: the first ten of suite ``full``."""


SAMPLERS = 40


@dataclass(frozen=True)
class Work:
    """The cells of one model.

    Attributes:
        samples: of each cell, >= 1.
        samplers: how many, >= 1.
        budgets: evaluations per sample of the cells of each.
        batch: samples per batch, >= 1; it decides the size of a shard.
        sorted: whether shards are in the program's order, those of the longest cells first, or in
            that of the plan.
        shards: evaluations of each shard, in the order in which one process begins them.
        groups: how many of these take alike.
    """

    samples: int
    samplers: int = 1
    budgets: Sequence[float] = BUDGETS
    batch: int = SHARD
    sorted: bool = True
    shards: Sequence[float] = field(init=False)
    groups: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        """Cut the cells into shards."""
        cut = pieces(self.samples, whole_shard(self.batch))
        cells = [evaluations for _ in range(self.samplers) for evaluations in self.budgets]
        todo = [(each, stop - start) for each in cells for start, stop in cut]
        groups = in_turn(todo, lambda shard: shard[0]) if self.sorted else [todo]
        shards = tuple(each * count for group in groups for each, count in group)
        object.__setattr__(self, "shards", shards)
        object.__setattr__(self, "groups", tuple(map(len, groups)))

    def pieces(self, turn: float) -> list[tuple[int, int]]:
        """The shards ``(first, last + 1)`` as a process passes them that begins each group
        elsewhere (:func:`.sharing.in_turn`).
        """
        found, first = [], 0
        for length in self.groups:
            begin, end = first + int(turn * length), first + length
            found += [(begin, end), (first, begin)]
            first = end
        return [(a, b) for a, b in found if a < b]

    @property
    def cells(self) -> int:
        """How many."""
        return self.samplers * len(self.budgets)

    @property
    def of_a_cell(self) -> int:
        """Shards of a cell."""
        return len(self.shards) // self.cells

    @property
    def evaluations(self) -> float:
        """Of all shards."""
        return sum(self.shards)
