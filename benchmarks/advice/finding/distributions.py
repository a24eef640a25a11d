"""Distances in distribution of what was chosen, and of stochastic samplers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..answer import Choice, Value
from ..asked.subject import Entry
from ..exports import LIBRARIES
from ..racing.distribution import Distances, converged_count, farther, space_of, value_of
from ..racing.measuring import Bench
from ..racing.one_budget import Raced
from ..racing.race import LEVEL
from ..racing.scoring import choice
from .run import Run, runs
from .time import COMPARED


def distributions(
    run: Run, bench: Bench, races: Sequence[Raced], chosen: Mapping[int, Sequence[Entry]]
) -> tuple[dict[int, dict[str, tuple[Choice, Value, bool]]], list[str]]:
    """Return distances in distribution by budget and label, each with whether it is decidedly below the
    best configuration's; and a sentence on stochastic samplers that were not compared.
    """
    nothing: dict[int, dict[str, tuple[Choice, Value, bool]]] = {r.budget: {} for r in races}
    seconds = 60 * run.clock.minutes * COMPARED - run.clock.spent
    first_look = 128 * sum(race.budget * len(chosen[race.budget]) for race in races) / bench.rate
    count = converged_count(bench, seconds - first_look)
    if not count:
        return nothing, ["There was no time to compare distributions (fd_conv)."]
    run.progress("distances in distribution")
    space, begin = space_of(bench, count), run.clock.spent
    total = 60 * run.clock.minutes
    first = {r.budget: [e for e in chosen[r.budget] if runs(e)] for r in races}
    distances = {r.budget: Distances(bench, space) for r in races}
    # what is recommended is measured at all budgets before any stochastic sampler is tried
    shares = _shares({r.budget: r.budget * len(first[r.budget]) for r in races})
    for budget, share in shares.items():
        late = run.clock.until((begin + 0.5 * share * (total * COMPARED - begin)) / total)
        distances[budget](first[budget], len(first[budget]), late)
    begin, late_budgets = run.clock.spent, []
    for budget, share in _shares({r.budget: r.budget for r in races}).items():
        late = run.clock.until((begin + share * (total * COMPARED - begin)) / total)
        labels = {entry.label for entry in first[budget]}
        others = [e for e in run.asked.stochastic(budget) if e.label not in labels]
        entries = [*first[budget], *others]
        estimates = distances[budget](entries, len(first[budget]), late)
        if len(estimates) < len(entries):
            late_budgets.append(budget)
        best = next(r for r in races if r.budget == budget).left[LIBRARIES[0]][0].label
        own = next((estimates[n] for n in estimates if entries[n].label == best), None)
        for n, estimate in estimates.items():
            value = value_of(estimate)
            nearer = own is not None and farther(own, estimate, LEVEL / max(len(estimates), 1))
            result = choice(bench, entries[n], None, value)
            nothing[budget][entries[n].label] = result, value, nearer
    if not late_budgets:
        return nothing, []
    return nothing, [
        f"At {', '.join(map(str, late_budgets))} evaluations there was no time to compare all stochastic "
        "samplers in distribution (fd_conv)."
    ]


def _shares(weights: Mapping[int, float]) -> dict[int, float]:
    """Return the share of the time that is over when each is done, in order."""
    total, at, shares = sum(weights.values()), 0.0, {}
    for key, weight in weights.items():
        at += weight
        shares[key] = at / total if total else 1.0
    return shares
