"""Race of one budget, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..running.executors import Failure
from .measuring import FIRST, Bench, Late
from .race import Race, Squares, geometric_mean, is_hopeful
from .request import FIELDS, Entry
from .run import OutOfTime

ROUNDS = (4, 8, 16, 32, 64, 128, 256)
"""Number of latents after each round."""
LEAST = 16
"""Smallest number of latents on which leaders are ranked, regardless of the time."""
FIRST_ENTRIES = 6
"""Number of first entries, which are always measured and set the reference's accuracy."""
OF_EACH = 3
"""Number of configurations per field (:data:`.FIELDS`) that are tried regardless of the time."""
SURE = 64
"""Largest number of latents on which fits are measured regardless of the time."""
SMALL = 64
"""Largest size of a small field. Its configurations are tried before most of a large field."""


@dataclass(frozen=True)
class RaceResult:
    """Result of the race of one budget.

    Attributes:
        survivors: configurations that were not dropped, by field (:data:`.FIELDS`), the best first.
        errors: errors of the configurations tried, by label. They are over the first round's latents.
        best: smallest of ``errors`` in each field.
        timely: True if the race ended within its time.
        tried, left_out, latents, hopeless: see :class:`.answer.Budget`.
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
    """Race configurations at a budget, and return the result.

    ``before`` are the results at smaller budgets. ``late`` returns True once the time of the race is
    up. ``screened`` returns True once the time of the race's first round is up.

    Raises:
        Failure: no configuration has samples, or there is no reference solution.
        OutOfTime: the race was broken off before any configuration had samples.
    """
    some = _order_of_trial([entry for entry in entries if _is_hopeful(entry, before)])
    find_steps_for(bench, some[:FIRST_ENTRIES], budget)
    fields = {
        name: [n for n, entry in enumerate(some) if name in entry.libraries] for name in FIELDS
    }
    least = sum(min(OF_EACH, len(members)) for members in fields.values()) + FIRST_ENTRIES

    def measure(numbers: Sequence[int], start: int, stop: int):
        # the leaders, which are first, are measured even when the time is up
        sure = least if start == 0 else FIRST_ENTRIES
        first = {n: some[n] for n in numbers[:sure]}
        rest = {n: some[n] for n in numbers[sure:]}
        yield from bench.measure_squares(first, start, stop, bool)
        yield from bench.measure_squares(rest, start, stop, screened if start == 0 else late)

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
    """Race the survivors of ``race`` against fitted entries ``tuned``; return the new result."""
    leaders = [ranked[0] for ranked in race.survivors.values()]
    before = [entry for ranked in race.survivors.values() for entry in ranked]
    some = list({entry.label: entry for entry in (*tuned, *leaders, *before)}.values())
    must = len({entry.label for entry in (*tuned, *leaders)})
    find_steps_for(bench, (), race.budget)
    find_steps_for(bench, tuned, race.budget, " ".join(entry.cell.key[-10:] for entry in tuned))

    def is_in(name: str, n: int) -> bool:
        own = race.survivors.get(name, ())
        return name in some[n].libraries if n < len(tuned) else some[n] in own

    fields = {name: [n for n in range(len(some)) if is_in(name, n)] for name in FIELDS}

    def measure(numbers: Sequence[int], start: int, stop: int):
        first = {n: some[n] for n in numbers if n < must}
        rest = {n: some[n] for n in numbers if n >= must}
        sure = stop <= min(SURE, race.latents)
        yield from bench.measure_squares(first, start, stop, bool if sure else late)
        yield from bench.measure_squares(rest, start, stop, bool if start == 0 else late)

    again = Race(fields, ROUNDS, measure)
    again()
    return replace(
        race,
        survivors=_survivors_by_field(again, some),
        tried=race.tried + len(tuned),
        latents=max([race.latents, *map(len, again.measurements.values())]),
        timely=race.timely and not late(),
    )


def _survivors_by_field(race: Race[Squares], some: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the survivors by field, the best first, without fields that have none."""
    return {name: [some[n] for n in left] for name in FIELDS if (left := race.survivors(name))}


def find_steps_for(bench: Bench, entries: Sequence[Entry], budget: int, suffix: str = "") -> None:
    """Set steps and resolution of ``bench.endpoints`` as stored, or to resolve entries' errors."""
    key = f"settled {budget} {suffix}".rstrip()
    stored = bench.store.get(key)
    if stored is None:
        samples = [x for _, x in bench.draw_samples(dict(enumerate(entries)), 0, FIRST)]
        bench.endpoints.find_steps([x for x in samples if not isinstance(x, Failure)])
        bench.store.put(key, [bench.endpoints.steps, bench.endpoints.resolution])
    else:
        bench.endpoints.steps, bench.endpoints.resolution = stored


def _order_of_trial(entries: Sequence[Entry]) -> list[Entry]:
    """Return entries in order of trial: first ones, first of each field, small fields, others."""
    first = list(entries[:FIRST_ENTRIES])
    fields = [[entry for entry in entries if name in entry.libraries] for name in FIELDS]
    for members in fields:
        first += members[:OF_EACH]
    for members in fields:  # for users of libraries that have few samplers
        first += members if len(members) <= SMALL else []
    unique = {entry.label: entry for entry in first}
    return [*unique.values(), *(entry for entry in entries if entry.label not in unique)]


def _errors_by_label(race: Race[Squares], entries: Sequence[Entry]) -> dict[str, float]:
    """Return the errors of the configurations tried, on the first round's latents, by label."""
    errors = {n: geometric_mean(squares[: ROUNDS[0]]) for n, squares in race.measurements.items()}
    errors |= {n: errors[other] for n, other in race.same.items() if other in errors}
    return {entries[n].label: value for n, value in errors.items()}


def _is_hopeful(entry: Entry, before: Sequence[RaceResult]) -> bool:
    """Return False if an entry was far above the best of all its fields at the last two budgets."""
    return not entry.libraries or any(
        is_hopeful(
            [race.errors.get(entry.label, 0.0) for race in before],
            [race.best[name] for race in before],
        )
        for name in entry.libraries
    )
