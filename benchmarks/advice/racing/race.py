r"""A race: configurations are tried on more and more latents, and those that are shown to be worse than the
leader are dropped.

All run on latents 0 … n_1 - 1, those that are left on the next ones up to n_2 = 2 n_1, and so on. After
look k a configuration is dropped if a one-sided paired test says that it is worse than the leader, at the
level

    alpha_k = (6 / pi²) alpha / k²,        sum over all k: alpha,

so that one that is as good as the leaders is dropped, at any look, with a chance of alpha at most
(:func:`samplerbench.benchmarks.running.interim.level_at`). A configuration can belong to several fields,
such as the samplers of a library: it stays as long as it may be the best of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ...running.interim import level_at
from .paired import Squares, error, worse

LEVEL = 0.05
"""alpha: the chance that one as good as the leaders is dropped."""

Measure = Callable[[Sequence[int], int, int], Iterable[tuple[int, Squares | None]]]
"""Measures configurations, by number, on latents ``start`` … ``stop - 1``: the squares of each as they come,
None where it fails. Those that there is no time for are left out.
"""


class Keep(Protocol):
    """Who goes on after a look."""

    def __call__(self, ranked: Sequence[int], known: Mapping[int, Squares], look: int) -> set[int]:
        """Of the configurations of one field, best first, those that stay."""
        ...


def not_worse(ranked: Sequence[int], known: Mapping[int, Squares], look: int) -> set[int]:
    """The leader, and those that are not shown to be worse."""
    level = level_at(look, 1, LEVEL)
    leader = known[ranked[0]]
    return {one for one in ranked if not worse(known[one], leader, level)}


@dataclass(frozen=True)
class Leading:
    """A rule: the first ``count`` stay."""

    count: int

    def __call__(self, ranked: Sequence[int], known: Mapping[int, Squares], look: int) -> set[int]:  # noqa: ARG002
        """See :class:`Keep`."""
        return set(ranked[: self.count])


@dataclass
class Race:
    """One race.

    Attributes:
        fields: configurations by number, by the name of the field, in the order in which they are tried.
        rungs: numbers of latents, rising.
        measure: see :data:`Measure`.
        keep: who goes on after a look.
        late: whether the time is up, asked after each look.
        known: squares by configuration, of latents 0, 1, …; those that were dropped keep theirs.
        failed: configurations that have no samples.
        same: those that make exactly the samples of another one, which is run in their place.
    """

    fields: Mapping[str, Sequence[int]]
    rungs: Sequence[int]
    measure: Measure
    keep: Keep = not_worse
    late: Callable[[], bool] = bool
    known: dict[int, Squares] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    same: dict[int, int] = field(default_factory=dict)
    _left: dict[str, set[int]] = field(default_factory=dict, repr=False)

    def __call__(self) -> None:
        """Run it to its end: each field is decided, the latents are used up, or the time."""
        self._left = {name: set(each) for name, each in self.fields.items()}
        order, start = list(dict.fromkeys(n for each in self.fields.values() for n in each)), 0
        for look, stop in enumerate(self.rungs, 1):
            self._measure(order, start, stop)
            if look == 1:
                self._merge(order)
            reached = {n for n in order if len(self.known.get(n, ())) == stop}
            for name, mine in self._left.items():
                mine &= set(self.known)
                there = self.ranked(mine & reached)
                if there:
                    # where the time was up before one was measured as far, it is not shown to be worse
                    self._left[name] = self.keep(there, self.known, look) | (mine - reached)
            order = self.ranked(set().union(*self._left.values()))
            if not reached or self.late() or all(len(mine) <= 1 for mine in self._left.values()):
                return
            start = stop

    def left(self, name: str) -> list[int]:
        """The configurations of a field that were not dropped from it, those on most latents first, best
        first.
        """
        return sorted(self._left[name], key=lambda n: (-len(self.known[n]), error(self.known[n])))

    def ranked(self, some: Iterable[int]) -> list[int]:
        """Those of ``some`` that have samples, best first."""
        return sorted((n for n in some if n in self.known), key=lambda n: (error(self.known[n]), n))

    def errors(self, first: int) -> dict[int, float]:
        """The error of every configuration that was tried, on the first latents."""
        found = {n: error(squares[:first]) for n, squares in self.known.items()}
        return found | {n: found[other] for n, other in self.same.items() if other in found}

    def _measure(self, order: Sequence[int], start: int, stop: int) -> None:
        for number, squares in self.measure(order, start, stop):
            if squares is None:
                self.failed.add(number)
                self.known.pop(number, None)
            else:
                before = self.known.get(number, np.empty(0))[:start]
                self.known[number] = np.concatenate([before, squares])

    def _merge(self, order: Sequence[int]) -> None:
        """Run what makes exactly the same samples once: the first of them, for each set of fields."""
        first: dict[tuple[bytes, frozenset[str]], int] = {}
        for number in [n for n in order if n in self.known]:
            mine = frozenset(name for name, each in self.fields.items() if number in each)
            other = first.setdefault((self.known[number].tobytes(), mine), number)
            if other != number:
                self.same[number] = other
                del self.known[number]
