"""The race of one budget: which configurations are tried, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...running.executing import Failure
from ..asked.subject import FIELDS, Entry
from .clock import OutOfTime
from .measuring import Bench, Late
from .paired import Squares, error
from .race import Race, is_hopeful
from .truth import FIRST

LOOK = 4
"""Latents of the first look."""
LEAST = 16
"""Latents that the leaders are looked at on, whatever the time: fewer choose by chance."""
MOST = 256
"""Latents that a race looks at, at most."""
USUAL = 6
"""Configurations whose errors say how exact the reference solution must be, and which are measured as far as
any, whatever the time.
"""
OF_EACH = 3
"""Configurations of each field that are tried whatever the time."""
SURE = 64
"""Latents on which what was fitted is measured whatever the time, if others were."""
SMALL = 64
"""Configurations of a field that is tried whole before any larger one is."""


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
        hopeless: configurations that were far behind at two smaller budgets, and so were not tried.
    """

    budget: int
    left: Mapping[str, Sequence[Entry]]
    errors: Mapping[str, float]
    best: Mapping[str, float]
    tried: int
    left_out: int
    latents: int
    timely: bool
    hopeless: int = 0


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
        OutOfTime: the race was broken off before any of them had samples.
    """
    some = _with_each_field([entry for entry in entries if _hopeful(entry, before)])
    least = sum(min(OF_EACH, sum(f in e.libraries for e in some)) for f in FIELDS) + USUAL
    settle(bench, some[:USUAL], budget)
    fields = {
        name: [n for n, entry in enumerate(some) if name in entry.libraries] for name in FIELDS
    }

    def measure(numbers: Sequence[int], start: int, stop: int):
        # leaders come first: whatever the time, there is one
        sure = least if start == 0 else USUAL
        first, rest = list(numbers[:sure]), list(numbers[sure:])
        over = screened if start == 0 else late
        for part, when in ((first, bool), (rest, over)):
            for which, squares in bench.squares([some[n] for n in part], start, stop, when):
                yield part[which], squares

    race = Race(fields, _rungs(), measure, late=late, least=LEAST)
    try:
        race()
    except OutOfTime:
        race.broken_off()
        if not race.left(FIELDS[0]):
            raise
    if not race.left(FIELDS[0]):
        reasons = {bench.failures[e.label] for e in some if e.label in bench.failures}
        raise Failure("failed", "; ".join(sorted(reasons)[:2]) or "no configuration was tried")
    errors = _errors(race, some)
    left = {name: [some[n] for n in race.left(name)] for name in FIELDS}
    best = {
        name: min((errors[some[n].label] for n in each if some[n].label in errors), default=np.inf)
        for name, each in fields.items()
    }
    tried = len(race.known) + len(race.failed) + len(race.same)
    return Raced(
        budget,
        {name: each for name, each in left.items() if each},
        errors,
        best,
        tried,
        len(some) - tried,
        max(map(len, race.known.values())),
        not late(),
        len(entries) - len(some),
    )


def raced_again(bench: Bench, race: Raced, tuned: Sequence[Entry], late: Late) -> Raced:
    """A race with what was fitted since, beside those that were left. What was measured of these is known, unless
    the fits are so near that the endpoints have to be finer.

    Args:
        bench: where they are measured.
        race: before.
        tuned: what was fitted, which is measured on :data:`SURE` latents whatever the time, as are the leaders
            before.
        late: whether the time is up.

    Raises:
        Failure: there is no reference solution.
    """
    leaders = [each[0] for each in race.left.values()]
    before = [entry for each in race.left.values() for entry in each]
    some = list({entry.label: entry for entry in (*tuned, *leaders, *before)}.values())
    must = len({entry.label for entry in (*tuned, *leaders)})
    settle(bench, (), race.budget)
    settle(bench, tuned, race.budget, " ".join(entry.cell.key[-10:] for entry in tuned))
    fields = {
        name: [
            n
            for n, entry in enumerate(some)
            if (name in entry.libraries if n < len(tuned) else entry in race.left.get(name, ()))
        ]
        for name in FIELDS
    }

    def measure(numbers: Sequence[int], start: int, stop: int):
        first = [n for n in numbers if n < must]
        rest = [n for n in numbers if n >= must]
        sure = stop <= min(SURE, race.latents)
        for part, when in ((first, bool if sure else late), (rest, bool if start == 0 else late)):
            for which, squares in bench.squares([some[n] for n in part], start, stop, when):
                yield part[which], squares

    again = Race(fields, _rungs(), measure)
    again()
    left = {name: [some[n] for n in again.left(name)] for name in FIELDS}
    return replace(
        race,
        left={name: each for name, each in left.items() if each},
        tried=race.tried + len(tuned),
        latents=max([race.latents, *map(len, again.known.values())]),
        timely=race.timely and not late(),
    )


def _rungs() -> list[int]:
    rungs = [LOOK]
    while rungs[-1] < MOST:
        rungs.append(2 * rungs[-1])
    return rungs


def settle(bench: Bench, entries: Sequence[Entry], budget: int, what: str = "") -> None:
    """Have reference solutions that are exact enough for the errors of these configurations.

    Raises:
        Failure: see :meth:`.Truth.settle`.
    """
    key = f"settled {budget} {what}".rstrip()
    kept = bench.store.get(key)
    if kept is None:
        found = [x for _, x in bench.samples(entries, 0, FIRST)]
        bench.truth.settle([one["endpoint"] for one in found if not isinstance(one, Failure)])
        bench.store.put(key, [bench.truth.steps, bench.truth.resolution])
    else:
        bench.truth.steps, bench.truth.resolution = kept


def _with_each_field(entries: Sequence[Entry]) -> list[Entry]:
    """The same with the first of each field at the beginning, behind those that are usual, and then small fields
    whole: users of a library that has little are owed the best of it.
    """
    first = list(entries[:USUAL])
    of = {name: [entry for entry in entries if name in entry.libraries] for name in FIELDS}
    for each in of.values():
        first += each[:OF_EACH]
    for each in of.values():
        first += each if len(each) <= SMALL else []
    labels = {entry.label for entry in first}
    unique = list({entry.label: entry for entry in first}.values())
    return [*unique, *(entry for entry in entries if entry.label not in labels)]


def _errors(race: Race[Squares], entries: Sequence[Entry]) -> dict[str, float]:
    """The error of every configuration that was tried, on the latents of the first look, by label."""
    found = {n: error(squares[:LOOK]) for n, squares in race.known.items()}
    found |= {n: found[other] for n, other in race.same.items() if other in found}
    return {entries[n].label: value for n, value in found.items()}


def _hopeful(entry: Entry, before: Sequence[Raced]) -> bool:
    """Whether it was not far behind in all its fields at both budgets before; what was not tried may be."""
    return not entry.libraries or any(
        is_hopeful(
            [one.errors.get(entry.label, 0.0) for one in before], [one.best[name] for one in before]
        )
        for name in entry.libraries
    )
