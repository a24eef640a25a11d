"""Which shards are free, claimed, or drawn, while a run is simulated."""

from __future__ import annotations

import math


class Shards:
    """The shards of a run.

    Args:
        count: how many.

    Attributes:
        left: how many are not drawn.
        claimed: how many are claimed.
    """

    def __init__(self, count: int) -> None:
        self.left, self.claimed = count, 0
        self._next = list(range(count + 1))
        self._stale: dict[int, float] = {}

    def free(self, place: int, now: float = -math.inf) -> int:
        """The first one from a place on that nobody has, or, by this time, that a dead process had;
        as many as there are for none.
        """
        stale = [i for i, when in self._stale.items() if i >= place and when <= now]
        return min([self._unclaimed(place), *stale])

    def claim(self, number: int) -> None:
        """Somebody has it."""
        self.claimed += 1
        if self._stale.pop(number, None) is None:
            self._next[number] = number + 1

    def finish(self) -> None:
        """One that was claimed is drawn."""
        self.claimed -= 1
        self.left -= 1

    def abandon(self, number: int, until: float) -> None:
        """Whoever has it is dead, which others know from a moment on."""
        self.claimed -= 1
        self._stale[number] = until

    def _unclaimed(self, place: int) -> int:
        root = place
        while self._next[root] != root:
            root = self._next[root]
        while self._next[place] != root and place != root:
            self._next[place], place = root, self._next[place]
        return root
