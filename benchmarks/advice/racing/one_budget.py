"""The race of one budget: which configurations are tried, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...running.executing import Failure
from ..asked.subject import FIELDS, Entry
from .measuring import Bench, Late
from .race import Race
from .truth import FIRST

LOOK = 4
"""Latents of the first look."""
MOST = 256
"""Latents that a race looks at, at most."""
HOPELESS = 4.0
"""How far behind the best of each of its libraries, at two budgets in a row, a configuration is left out at
larger ones.
"""
USUAL = 6
"""Configurations whose errors say how exact the reference solution must be."""


@dataclass(frozen=True)
class Raced:
    """What came of a race.

    Attributes:
        budget: evaluations per sample.
        left: the configurations of each field (:data:`.FIELDS`) that were not dropped, the best first.
        errors: of every configuration that was tried, on the first latents, by label.
        best: the least of these of each field.
        tried, left_out: configurations that were tried, and that there was no time for.
        latents: that were looked at, at most.
        timely: whether the race ended before its time was up.
    """

    budget: int
    left: Mapping[str, Sequence[Entry]]
    errors: Mapping[str, float]
    best: Mapping[str, float]
    tried: int
    left_out: int
    latents: int
    timely: bool


def raced(
    bench: Bench,
    entries: Sequence[Entry],
    budget: int,
    before: Sequence[Raced],
    late: Late,
    screened: Late,
) -> Raced:
    """Race configurations.

    Args:
        bench: where they are measured.
        entries: in the order in which they are tried.
        budget: evaluations per sample.
        before: the races of smaller budgets.
        late: whether the time of this race is up.
        screened: whether that of its first look is.

    Raises:
        Failure: none of them has samples, or there is no reference solution.
    """
    hopeful = [entry for entry in entries if _hopeful(entry, before)]
    settle(bench, hopeful[:USUAL], budget)
    fields = {
        name: [n for n, entry in enumerate(hopeful) if name in entry.libraries] for name in FIELDS
    }

    def measure(numbers: Sequence[int], start: int, stop: int):
        # leaders come first: whatever the time, there is one
        first, rest = list(numbers[:USUAL]), list(numbers[USUAL:])
        over = screened if start == 0 else late
        for some, when in ((first, bool), (rest, over)):
            for which, squares in bench.squares([hopeful[n] for n in some], start, stop, when):
                yield some[which], squares

    rungs = [LOOK]
    while rungs[-1] < MOST:
        rungs.append(2 * rungs[-1])
    race = Race(fields, rungs, measure, late=late)
    race()
    if not race.known:
        reasons = {bench.failures[e.label] for e in hopeful if e.label in bench.failures}
        raise Failure("failed", "; ".join(sorted(reasons)[:2]) or "no configuration was tried")
    errors = {hopeful[n].label: error for n, error in race.errors(LOOK).items()}
    left = {name: [hopeful[n] for n in race.left(name)] for name in FIELDS}
    best = {
        name: min(
            (errors[hopeful[n].label] for n in each if hopeful[n].label in errors), default=np.inf
        )
        for name, each in fields.items()
    }
    tried = len(race.known) + len(race.failed) + len(race.same)
    return Raced(
        budget,
        {name: each for name, each in left.items() if each},
        errors,
        best,
        tried,
        len(hopeful) - tried,
        max(map(len, race.known.values())),
        not late(),
    )


def settle(bench: Bench, entries: Sequence[Entry], budget: int) -> None:
    """Have reference solutions that are exact enough for the errors of these configurations.

    Raises:
        Failure: see :meth:`.Truth.settle`.
    """
    key = f"settled {budget}"
    kept = bench.store.get(key)
    if kept is None:
        found = [x for _, x in bench.samples(entries, 0, FIRST)]
        bench.truth.settle([one["endpoint"] for one in found if not isinstance(one, Failure)])
        bench.store.put(key, [bench.truth.steps, bench.truth.resolution])
    else:
        bench.truth.steps, bench.truth.resolution = kept


def _hopeful(entry: Entry, before: Sequence[Raced]) -> bool:
    """Whether it was not far behind in all its libraries at both budgets before."""
    last = before[-2:]
    if len(last) < 2:
        return True
    return any(
        one.errors.get(entry.label, 0.0) <= HOPELESS * one.best[name]
        for one in last
        for name in entry.libraries
    )
