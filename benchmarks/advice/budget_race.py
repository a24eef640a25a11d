"""Race of one budget: the configurations that are tried, and its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..running.executors import Failure
from .measuring import FIRST, Bench, Late
from .race import Race, Squares, geometric_mean, is_hopeful
from .request import FIELDS, Entry
from .run import OutOfTime

ROUNDS = (4, 8, 16, 32, 64, 128, 256)
"""Latents after each round."""
LEAST = 16
"""Minimum number of latents for ranking the leaders, regardless of the time: fewer choose by chance."""
USUAL = 6
"""Configurations that say how exact the reference solution must be, and are measured regardless of the time."""
OF_EACH = 3
"""Configurations of each field that are tried regardless of the time."""
SURE = 64
"""Latents on which fitted configurations are measured regardless of the time, if others were."""
SMALL = 64
"""Configurations of a field that is tried whole before any larger one is."""


@dataclass(frozen=True)
class RaceResult:
    """Result of a race.

    Attributes:
        budget: evaluations per sample.
        survivors: the configurations of each field (:data:`.FIELDS`) that were not dropped, the best first.
        errors: of every configuration that was tried, on the first latents, by label.
        best: the least of these of each field.
        tried, left_out: configurations that were tried, and that there was no time for.
        latents: that were used, at most.
        timely: whether the race ended before its time was up.
        hopeless: configurations with far larger errors at two smaller budgets, and so not tried.
    """

    budget: int
    survivors: Mapping[str, Sequence[Entry]]
    errors: Mapping[str, float]
    best: Mapping[str, float]
    tried: int
    left_out: int
    latents: int
    timely: bool
    hopeless: int = 0


def race_budget(
    bench: Bench,
    entries: Sequence[Entry],
    budget: int,
    before: Sequence[RaceResult],
    late: Late,
    screened: Late,
) -> RaceResult:
    """Race configurations in the order in which they are tried, after the races of smaller budgets.

    ``late`` and ``screened`` say whether the time of this race, and of its first round, is up.

    Raises:
        Failure: none of them has samples, or there is no reference solution.
        OutOfTime: the race was broken off before any of them had samples.
    """
    some = _order_of_trial([entry for entry in entries if _is_hopeful(entry, before)])
    least = sum(min(OF_EACH, sum(f in e.libraries for e in some)) for f in FIELDS) + USUAL
    find_steps_for(bench, some[:USUAL], budget)
    fields = {
        name: [n for n, entry in enumerate(some) if name in entry.libraries] for name in FIELDS
    }

    def measure(numbers: Sequence[int], start: int, stop: int):
        # leaders come first, so that there is one even when the time is up
        sure = least if start == 0 else USUAL
        first, rest = list(numbers[:sure]), list(numbers[sure:])
        over = screened if start == 0 else late
        yield from _squares_of_some(bench, some, first, start, stop, bool)
        yield from _squares_of_some(bench, some, rest, start, stop, over)

    race = Race(fields, ROUNDS, measure, late=late, least=LEAST)
    try:
        race()
    except OutOfTime:
        race.drop_unmeasured()
        if not race.survivors(FIELDS[0]):
            raise
    if not race.survivors(FIELDS[0]):
        reasons = {bench.failures[e.label] for e in some if e.label in bench.failures}
        raise Failure("failed", "; ".join(sorted(reasons)[:2]) or "no configuration was tried")
    errors = _errors_by_label(race, some)
    best = {
        name: min((errors.get(some[n].label, np.inf) for n in members), default=np.inf)
        for name, members in fields.items()
    }
    tried = len(race.measurements) + len(race.failed) + len(race.same)
    return RaceResult(
        budget,
        _survivors_by_field(race, some),
        errors,
        best,
        tried,
        len(some) - tried,
        max(map(len, race.measurements.values())),
        not late(),
        len(entries) - len(some),
    )


def race_again(bench: Bench, race: RaceResult, tuned: Sequence[Entry], late: Late) -> RaceResult:
    """Race fitted configurations against the survivors, whose measurements are used again unless the endpoints
    have to be finer. Those and the leaders are measured on :data:`SURE` latents regardless of the time.
    """
    leaders = [ranked[0] for ranked in race.survivors.values()]
    before = [entry for ranked in race.survivors.values() for entry in ranked]
    some = list({entry.label: entry for entry in (*tuned, *leaders, *before)}.values())
    must = len({entry.label for entry in (*tuned, *leaders)})
    find_steps_for(bench, (), race.budget)
    find_steps_for(bench, tuned, race.budget, " ".join(entry.cell.key[-10:] for entry in tuned))
    fields = {
        name: [
            n
            for n, entry in enumerate(some)
            if (
                name in entry.libraries if n < len(tuned) else entry in race.survivors.get(name, ())
            )
        ]
        for name in FIELDS
    }

    def measure(numbers: Sequence[int], start: int, stop: int):
        first = [n for n in numbers if n < must]
        rest = [n for n in numbers if n >= must]
        sure = stop <= min(SURE, race.latents)
        yield from _squares_of_some(bench, some, first, start, stop, bool if sure else late)
        yield from _squares_of_some(bench, some, rest, start, stop, bool if start == 0 else late)

    again = Race(fields, ROUNDS, measure)
    again()
    return replace(
        race,
        survivors=_survivors_by_field(again, some),
        tried=race.tried + len(tuned),
        latents=max([race.latents, *map(len, again.measurements.values())]),
        timely=race.timely and not late(),
    )


def _squares_of_some(
    bench: Bench, some: Sequence[Entry], part: Sequence[int], start: int, stop: int, late: Late
) -> Iterator[tuple[int, Squares | None]]:
    """Yield the squares of the entries of these numbers, with their numbers."""
    for which, squares in bench.squares([some[n] for n in part], start, stop, late):
        yield part[which], squares


def _survivors_by_field(race: Race[Squares], some: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the survivors of each field that has any, the best first."""
    return {name: [some[n] for n in left] for name in FIELDS if (left := race.survivors(name))}


def find_steps_for(bench: Bench, entries: Sequence[Entry], budget: int, suffix: str = "") -> None:
    """Make the reference solutions exact enough for the errors of these configurations."""
    key = f"settled {budget} {suffix}".rstrip()
    stored = bench.store.get(key)
    if stored is None:
        samples = [x for _, x in bench.samples(entries, 0, FIRST)]
        bench.truth.find_steps(
            [sample["endpoint"] for sample in samples if not isinstance(sample, Failure)]
        )
        bench.store.put(key, [bench.truth.steps, bench.truth.resolution])
    else:
        bench.truth.steps, bench.truth.resolution = stored


def _order_of_trial(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, the usual ones first, then the first of each field, then small fields whole."""
    first = list(entries[:USUAL])
    fields = [[entry for entry in entries if name in entry.libraries] for name in FIELDS]
    for members in fields:
        first += members[:OF_EACH]
    for members in fields:  # users of a library that has little are owed the best of it
        first += members if len(members) <= SMALL else []
    unique = {entry.label: entry for entry in first}
    return [*unique.values(), *(entry for entry in entries if entry.label not in unique)]


def _errors_by_label(race: Race[Squares], entries: Sequence[Entry]) -> dict[str, float]:
    """Return the error of every configuration that was tried, on the first round's latents, by label."""
    errors = {n: geometric_mean(squares[: ROUNDS[0]]) for n, squares in race.measurements.items()}
    errors |= {n: errors[other] for n, other in race.same.items() if other in errors}
    return {entries[n].label: value for n, value in errors.items()}


def _is_hopeful(entry: Entry, before: Sequence[RaceResult]) -> bool:
    """Return False if an entry's errors were far larger than the best in all its fields at the last two budgets."""
    return not entry.libraries or any(
        is_hopeful(
            [race.errors.get(entry.label, 0.0) for race in before],
            [race.best[name] for race in before],
        )
        for name in entry.libraries
    )
