"""Sentences that follow from the numbers of an answer.

Each is computed, and none says what an interval does not show: a ratio whose interval includes 1,
or is flagged, is a difference that was not shown. Intervals have a level of 95 %, each for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .answer import Best, Budget, Value
from .table import audience, nearest_alternative, title
from .wording import (
    apart,
    counted,
    evaluations,
    inverse,
    listed,
    measured,
    named,
    same,
    times,
    verdict,
)

LEVELS = 255
"""Steps of an 8-bit image over the range of the data."""


def sentences(
    budgets: Sequence[Budget],
    default: str,
    library: str,
    halves: Mapping[tuple[int, int], Value],
    span: float | None,
) -> tuple[str, ...]:
    """Return the conclusions, most important first; the first is the headline.

    Args:
        budgets: answers by number of evaluations, rising; at least one.
        default: what is used now, in words.
        library: that recommendations are for.
        halves: for pairs (M, N) of budgets with M <= N / 2, the ratio of the recommendation's error at M
            to the default's at N, paired over latents.
        span: range of the data, highest value less lowest; None where it is not known.
    """
    reader = audience(budgets, library)
    found = [(budget, budget.best[reader]) for budget in budgets if reader in budget.best]
    nothing = f"Nothing was found that {title(library)} can use for this model"
    if not found:
        return (f"{nothing}.",)
    told = [
        headline(found, default),
        beside_own(found, reader),
        coverage(budgets),
        f"{nothing}: what is recommended is for {title(reader)}." if reader != library else "",
        fewer(halves),
        search_cost(found, halves),
        fitted(found),
        elsewhere(found),
        failures(found),
        draws_noise(found),
        by_mean_square(found),
        lacking(found, reader),
        enough(found, span),
        ties(found),
        distribution(found),
    ]
    return tuple(one for one in told if one)


def leading(budgets: Sequence[Budget], library: str) -> Budget:
    """Return the budget that the headline is about: the middle one of those where a recommendation is
    decidedly closer than the default, the lower of two; else the last.

    The largest ratio would be where the default makes no sense, and the smallest says least.
    """
    library = audience(budgets, library)
    closer = [
        budget
        for budget in budgets
        if (best := budget.best.get(library)) and _shown(best, budget, "closer")
    ]
    return closer[(len(closer) - 1) // 2] if closer else budgets[-1]


def headline(found: Sequence[tuple[Budget, Best]], default: str) -> str:
    """Return the recommendation and how much closer it is, or why that cannot be said."""
    budget = leading([one for one, _ in found], found[0][1].library)
    best = next(best for one, best in found if one is budget)
    now = f"what you use now, {default}"
    if best.to_default and _shown(best, budget, "closer"):
        number, ends = times(inverse(best.to_default))
        return (
            f"With {evaluations(budget.nfe)}, {named(best.choice)} is {number} times closer {ends} to "
            f"the converged samples than {now}."
        )
    if all(same(best.choice, one.default) for one, best in found):
        return f"Nothing was found that is better than {now}."
    if any(best.to_default for _, best in found):
        if any(_shown(best, one, "farther") for one, best in found):
            return f"Nothing was shown to be closer to the converged samples than {now}."
        at = [one.nfe for one, best in found if best.to_default]
        return f"No difference from {now} was shown with {evaluations(*at)}."
    said = f"With {evaluations(budget.nfe)}, {named(best.choice)} is recommended"
    known = nearest_alternative(budget)
    if known and verdict(known.ratio) == "closer" and known.ratio:
        number, ends = times(inverse(known.ratio))
        said += (
            f", {number} times closer {ends} to the converged samples than {named(known.choice)}"
        )
    mine, theirs = best.choice.fd_conv, budget.default.fd_conv
    if mine is None or theirs is None:
        return f"{said}; it could not be compared with {now}."
    numbers = f"fd_conv {measured(mine)} against {measured(theirs)}"
    told = {
        "closer": "is nearer",
        "farther": "is farther",
        "open": "was not shown to be nearer or farther",
    }
    return f"{said}; it {told[apart(mine, theirs)]} in distribution than {now} ({numbers})."


def beside_own(found: Sequence[tuple[Budget, Best]], library: str) -> str:
    """Return how the recommendation compares with the library's own solvers at their defaults."""
    parts = []
    for budget, _ in found:
        known = nearest_alternative(budget)
        if known is None or known.ratio is None:
            continue
        kind = verdict(known.ratio)
        ratio = known.ratio if kind == "farther" else inverse(known.ratio)
        number, ends = times(ratio)
        told = "not told apart" if kind == "open" else f"{number} times {kind} {ends}"
        parts.append(f"{told} with {evaluations(budget.nfe)} ({named(known.choice)})")
    if not parts:
        return ""
    whose = "the library" if library == "python" else title(library)
    return f"Beside the best of the solvers of {whose} itself it is {'; '.join(parts)}."


def coverage(budgets: Sequence[Budget]) -> str:
    """Return how much of the field was tried."""
    some = [one for one in budgets if one.tried < one.field]
    if not some:
        return ""
    parts = [f"{one.tried:,} of {one.field:,} with {evaluations(one.nfe)}" for one in some]
    return f"Not all configurations were tried: {'; '.join(parts)}."


def _saving(halves: Mapping[tuple[int, int], Value]) -> tuple[int, int] | None:
    """Return the pair of budgets that saves most, of those where the recommendation is closer with
    the fewer evaluations.
    """
    shown = [
        (-many / few, ratio.high, few, many)
        for (few, many), ratio in halves.items()
        if 2 * few <= many and verdict(ratio) == "closer"
    ]
    return min(shown)[2:] if shown else None


def fewer(halves: Mapping[tuple[int, int], Value]) -> str:
    """Return the largest saving of a recommendation over the default with twice the evaluations or more."""
    pair = _saving(halves)
    if pair is None:
        return ""
    few, many = pair
    number, ends = times(inverse(halves[few, many]))
    return (
        f"With {evaluations(few)} the recommendation is {number} times closer {ends} than what "
        f"you use now is with {many}."
    )


def search_cost(
    found: Sequence[tuple[Budget, Best]], halves: Mapping[tuple[int, int], Value]
) -> str:
    """Return what the search of ``auto`` cost, and from how many samples on it pays."""
    searched = {b.nfe: n for b, best in found if (n := best.choice.search_evaluations)}
    if not searched:
        return ""
    pair = _saving(halves)
    if pair is None or pair[0] not in searched:
        return f"Searching a rule of auto took {max(searched.values()):,} evaluations of the model at most."
    few, many = pair
    samples = math.ceil(searched[few] / (many - few))
    return (
        f"Searching the rule of auto for {evaluations(few)} took {searched[few]:,} evaluations of the model: "
        f"beside what you use now with {many}, it pays from {counted(samples, 'sample')} on."
    )


def fitted(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return where levels or coefficients were fitted to the model, and the error without that."""
    those = [(budget, best) for budget, best in found if best.untuned]
    if not those:
        return ""
    said = (
        f"With {evaluations(*(budget.nfe for budget, _ in those))}, levels or coefficients of the "
        "recommendation were fitted to this model, on latents that nothing else uses; the lines have the numbers"
    )
    budget, best = those[(len(those) - 1) // 2]
    if best.untuned is None or best.untuned_ratio is None:
        return f"{said}."
    number, ends = times(best.untuned_ratio)
    return (
        f"{said}. Without that, {named(best.untuned)} has {number} times the error {ends} with "
        f"{evaluations(budget.nfe)}."
    )


def elsewhere(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return at which other budgets it is closer, at which farther, and where nothing was shown."""
    first = leading([budget for budget, _ in found], found[0][1].library)
    kinds = {
        "closer": "closer",
        "farther": "farther than what you use now",
        "open": "not told apart from what you use now",
    }
    parts = []
    for kind, words in kinds.items():
        at = [
            budget.nfe
            for budget, best in found
            if best.to_default
            and _shown(best, budget, kind)
            and not (kind == "closer" and budget is first)
        ]
        if at:
            parts.append(f"{words} with {evaluations(*at)}")
    equal = [budget.nfe for budget, best in found if same(best.choice, budget.default)]
    if equal and len(equal) < len(found):
        parts.append(f"the same as what you use now with {evaluations(*equal)}")
    closer_at_first = any(_shown(best, budget, "closer") for budget, best in found)
    if len(parts) == 1 and not (closer_at_first or equal) and parts[0].startswith("not told"):
        return ""  # the headline has said it
    also = "also " if closer_at_first and parts and parts[0].startswith("closer") else ""
    return f"The recommendation is {also}{'; '.join(parts)}." if parts else ""


def failures(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return at which budgets the default has no samples."""
    at = [budget.nfe for budget, _ in found if budget.default.failed]
    return f"What you use now fails with {evaluations(*at)}." if at else ""


def draws_noise(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return the caveat on a default that draws noise."""
    if not all(one.default.error is None and not one.default.failed for one, _ in found):
        return ""
    return (
        "What you use now draws noise, and so can make better images than the converged ones, which a network's "
        "own error is part of; no distance to these tells. Look at the pictures, and compare both with real "
        "images: samplerbench run quick --model MODEL --reference IMAGES."
    )


def by_mean_square(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return where the recommendation has a larger root mean square than the default."""
    at = [
        budget.nfe
        for budget, best in found
        if best.choice.rms is not None
        and budget.default.rms is not None
        and best.choice.rms > budget.default.rms
        and not same(best.choice, budget.default)
    ]
    if not at:
        return ""
    return f"By root mean square, which a few samples decide, what you use now is closer with {evaluations(*at)}."


def lacking(found: Sequence[tuple[Budget, Best]], library: str) -> str:
    """Return what a library lacks of the best that was tried, and the largest cost of that."""
    costs = [
        (best.to_best.low, budget.nfe, best.to_best, budget.best["python"])
        for budget, best in found
        if best.to_best
        and "python" in budget.best
        and not same(best.choice, budget.best["python"].choice)
    ]
    if not costs:
        return ""
    shown = [one for one in costs if verdict(one[2]) == "farther"]
    if not shown:
        names = dict.fromkeys(named(known.choice) for *_, known in costs)
        return (
            f"The best that was tried, {listed(names)}, is not in {title(library)}; what {title(library)} "
            "has was not shown to be farther."
        )
    _, nfe, ratio, known = max(shown, key=lambda one: one[:2])
    number, ends = times(ratio)
    return (
        f"The best that was tried with {evaluations(nfe)}, {named(known.choice)}, is not in "
        f"{title(library)}: what {title(library)} has is {number} times farther {ends}."
    )


def enough(found: Sequence[tuple[Budget, Best]], span: float | None) -> str:
    """Return from which budgets on more evaluations bought nothing that a measure shows."""
    none_left = _from(found, [_holds_zero(best.choice.fd_conv) for _, best in found])
    unseen = _from(found, [_unseen(best, span) for _, best in found])
    parts = []
    if none_left:
        since, rest = none_left
        parts.append(
            f"{since}, more bought nothing that fd_conv shows: its intervals contain 0."
            if rest
            else f"{since}, the interval of fd_conv contains 0."
        )
    if unseen:
        parts.append(
            f"{unseen[0]}, the recommendation's error is below half a level of an 8-bit image."
        )
    return " ".join(parts)


def _from(found: Sequence[tuple[Budget, Best]], holds: Sequence[bool]) -> tuple[str, int] | None:
    """Return from which budget on something holds, and how many follow; None if not at the last."""
    place = next((n for n in range(len(holds)) if all(holds[n:])), None)
    if place is None:
        return None
    nfe, rest = found[place][0].nfe, len(found) - 1 - place
    return (f"From {evaluations(nfe)} on" if rest else f"With {evaluations(nfe)}"), rest


def ties(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return how many configurations the race could not separate from the recommendation."""
    tied = {budget.nfe: len(best.tied) for budget, best in found if best.tied}
    if not tied:
        return ""
    least, most = min(tied.values()), max(tied.values())
    number = counted(most, "other") if least == most else f"{least} to {counted(most, 'other')}"
    return (
        f"The race could not tell the recommendation apart from {number} with "
        f"{evaluations(*tied)}; the table has their names."
    )


def distribution(found: Sequence[tuple[Budget, Best]]) -> str:
    """Return what is decidedly nearer to converged samples in distribution than the best that was tried."""
    parts = []
    for budget, _ in found:
        other, known = budget.in_distribution, budget.best.get("python")
        if other is None or other.fd_conv is None:
            continue
        against = known.choice.fd_conv if known else None
        parts.append(
            f"{named(other)} with {evaluations(budget.nfe)} (fd_conv {measured(other.fd_conv)}"
            + (f" against {measured(against)})" if against else ")")
        )
    return f"Nearer in distribution than the best that was tried: {listed(parts)}." if parts else ""


def _shown(best: Best, budget: Budget, kind: str) -> bool:
    """Return True if the ratio to the default shows this; the default itself shows nothing."""
    return not same(best.choice, budget.default) and verdict(best.to_default) == kind


def _holds_zero(value: Value | None) -> bool:
    return value is not None and not value.flag and value.low <= 0 <= value.high


def _unseen(best: Best, span: float | None) -> bool:
    """Return True if all of the error's interval is below half a level of 8 bits over the range."""
    error = best.choice.error
    return bool(span and error and not error.flag and error.high < span / LEVELS / 2)
