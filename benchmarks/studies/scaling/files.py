"""What processes that share a run directory ask of its file system, counted in
:mod:`...running.sharing` and :mod:`....results.run_directory.claims`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .work import Work

TAKE, RELEASE, SAVE, LISTING = 3, 1, 5, 3
"""Operations: make, write and close a claim; remove it; make, write, flush, close and rename a shard;
open, read and close a folder.
"""

REFUSED, PASSED, LOOK, KNOW = 7, 6, 1, 4
"""Operations of a claim that somebody has, whose owner and age are read; of one made for a shard that
turns out to be drawn, and removed; of a question whether a file is there; and of reading the size of
a cell's shards and whether it failed.
"""


@dataclass(frozen=True)
class Rules:
    """What the program does, or did before a simulation showed what it costs.

    Attributes:
        lists: whether a process lists folders to find out what others have, or asks for each shard.
        patient: whether one that waits looks the more seldom the longer its looks take.
        turns: whether each process begins elsewhere among shards that take alike.
    """

    lists: bool = True
    patient: bool = True
    turns: bool = True

    def first(self, work: Work) -> float:
        """Operations of a process that finds out, for the first time, what there is to draw."""
        return KNOW * work.cells + self.missing(work)

    def missing(self, work: Work) -> float:
        """Operations of finding out which shards are not there."""
        return LISTING * work.cells if self.lists else LOOK * len(work.shards)

    def passing(self, work: Work, count: int, claimed: int) -> float:
        """Operations of finding a shard that nobody has, beyond ``count`` that others have or had,
        of which no more than ``claimed`` are being drawn.
        """
        if self.lists:
            return LISTING * (2 + count / work.of_a_cell)
        return asked(count, claimed)


def asked(count: int, claimed: int) -> float:
    """Operations of trying to claim shards that others have, or had; as :meth:`Rules.passing`."""
    busy = min(count, claimed)
    return REFUSED * busy + PASSED * (count - busy)
