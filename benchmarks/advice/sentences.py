"""Sentences that follow from the numbers of an answer.

Each is computed, and none says what an interval does not show: a ratio whose interval includes 1,
or is flagged, is a difference that was not shown. Intervals have a level of 95 %, each for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .answer import Best, Budget, Value
from .exports import title
from .wording import (
    audience,
    compare_intervals,
    counted,
    evaluations,
    inverse,
    listed,
    measured,
    named,
    nearest_alternative,
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
    pairs = [(budget, budget.best[reader]) for budget in budgets if reader in budget.best]
    nothing = f"Nothing was found that {title(library)} can use for this model"
    if not pairs:
        return (f"{nothing}.",)
    texts = [
        headline(pairs, default),
        beside_own(pairs, reader),
        coverage(budgets),
        f"{nothing}: what is recommended is for {title(reader)}." if reader != library else "",
        fewer(halves),
        search_cost(pairs, halves),
        fitted(pairs),
        elsewhere(pairs),
        failures(pairs),
        draws_noise(pairs),
        by_mean_square(pairs),
        lacking(pairs, reader),
        enough(pairs, span),
        ties(pairs),
        distribution(pairs),
    ]
    return tuple(text for text in texts if text)


def leading(budgets: Sequence[Budget], library: str) -> Budget:
    """Return the budget that the headline is about: the middle one of those where a recommendation is
    decidedly closer than the default, the lower of two; else the last.

    The largest ratio would be where the default makes no sense, and the smallest says least.
    """
    library = audience(budgets, library)
    closer = [
        budget
        for budget in budgets
        if (best := budget.best.get(library)) and _is_shown(best, budget, "closer")
    ]
    return closer[(len(closer) - 1) // 2] if closer else budgets[-1]


def headline(pairs: Sequence[tuple[Budget, Best]], default: str) -> str:
    """Return the recommendation and how much closer it is, or why that cannot be said."""
    budget = leading([entry for entry, _ in pairs], pairs[0][1].library)
    best = next(best for entry, best in pairs if entry is budget)
    now = f"what you use now, {default}"
    if best.to_default and _is_shown(best, budget, "closer"):
        number, ends = times(inverse(best.to_default))
        return (
            f"With {evaluations(budget.nfe)}, {named(best.choice)} is {number} times closer {ends} to "
            f"the converged samples than {now}."
        )
    if all(same(best.choice, entry.default) for entry, best in pairs):
        return f"Nothing was found that is better than {now}."
    if any(best.to_default for _, best in pairs):
        if any(_is_shown(best, entry, "farther") for entry, best in pairs):
            return f"Nothing was shown to be closer to the converged samples than {now}."
        at = [entry.nfe for entry, best in pairs if best.to_default]
        return f"No difference from {now} was shown with {evaluations(*at)}."
    text = f"With {evaluations(budget.nfe)}, {named(best.choice)} is recommended"
    nearest = nearest_alternative(budget)
    if nearest and verdict(nearest.ratio) == "closer" and nearest.ratio:
        number, ends = times(inverse(nearest.ratio))
        text += (
            f", {number} times closer {ends} to the converged samples than {named(nearest.choice)}"
        )
    mine, theirs = best.choice.fd_conv, budget.default.fd_conv
    if mine is None or theirs is None:
        return f"{text}; it could not be compared with {now}."
    numbers = f"fd_conv {measured(mine)} against {measured(theirs)}"
    verdicts = {
        "closer": "is nearer",
        "farther": "is farther",
        "open": "was not shown to be nearer or farther",
    }
    return f"{text}; it {verdicts[compare_intervals(mine, theirs)]} in distribution than {now} ({numbers})."


def beside_own(pairs: Sequence[tuple[Budget, Best]], library: str) -> str:
    """Return how the recommendation compares with the library's own solvers at their defaults."""
    parts = []
    for budget, _ in pairs:
        nearest = nearest_alternative(budget)
        if nearest is None or nearest.ratio is None:
            continue
        kind = verdict(nearest.ratio)
        ratio = nearest.ratio if kind == "farther" else inverse(nearest.ratio)
        number, ends = times(ratio)
        comparison = "not told apart" if kind == "open" else f"{number} times {kind} {ends}"
        parts.append(f"{comparison} with {evaluations(budget.nfe)} ({named(nearest.choice)})")
    if not parts:
        return ""
    whose = "the library" if library == "python" else title(library)
    return f"Beside the best of the solvers of {whose} itself it is {'; '.join(parts)}."


def coverage(budgets: Sequence[Budget]) -> str:
    """Return how much of the field was tried."""
    some = [budget for budget in budgets if budget.tried < budget.field]
    if not some:
        return ""
    parts = [
        f"{budget.tried:,} of {budget.field:,} with {evaluations(budget.nfe)}" for budget in some
    ]
    return f"Not all configurations were tried: {'; '.join(parts)}."


def _saving(halves: Mapping[tuple[int, int], Value]) -> tuple[int, int] | None:
    """Return the pair of budgets that saves most, of those where the recommendation is closer with
    the fewer evaluations.
    """
    savings = [
        (-many / few, ratio.high, few, many)
        for (few, many), ratio in halves.items()
        if 2 * few <= many and verdict(ratio) == "closer"
    ]
    return min(savings)[2:] if savings else None


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
    pairs: Sequence[tuple[Budget, Best]], halves: Mapping[tuple[int, int], Value]
) -> str:
    """Return what the search of ``auto`` cost, and from how many samples on it pays."""
    searched = {b.nfe: n for b, best in pairs if (n := best.choice.search_evaluations)}
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


def fitted(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return where levels or coefficients were fitted to the model, and the error without that."""
    those = [(budget, best) for budget, best in pairs if best.untuned]
    if not those:
        return ""
    text = (
        f"With {evaluations(*(budget.nfe for budget, _ in those))}, levels or coefficients of the "
        "recommendation were fitted to this model, on latents that nothing else uses; the lines have the numbers"
    )
    budget, best = those[(len(those) - 1) // 2]
    if best.untuned is None or best.untuned_ratio is None:
        return f"{text}."
    number, ends = times(best.untuned_ratio)
    return (
        f"{text}. Without that, {named(best.untuned)} has {number} times the error {ends} with "
        f"{evaluations(budget.nfe)}."
    )


def elsewhere(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return at which other budgets it is closer, at which farther, and where nothing was shown."""
    first = leading([budget for budget, _ in pairs], pairs[0][1].library)
    kinds = {
        "closer": "closer",
        "farther": "farther than what you use now",
        "open": "not told apart from what you use now",
    }
    parts = []
    for kind, words in kinds.items():
        at = [
            budget.nfe
            for budget, best in pairs
            if best.to_default
            and _is_shown(best, budget, kind)
            and not (kind == "closer" and budget is first)
        ]
        if at:
            parts.append(f"{words} with {evaluations(*at)}")
    equal = [budget.nfe for budget, best in pairs if same(best.choice, budget.default)]
    if equal and len(equal) < len(pairs):
        parts.append(f"the same as what you use now with {evaluations(*equal)}")
    closer_at_first = any(_is_shown(best, budget, "closer") for budget, best in pairs)
    if len(parts) == 1 and not (closer_at_first or equal) and parts[0].startswith("not told"):
        return ""  # the headline has said it
    also = "also " if closer_at_first and parts and parts[0].startswith("closer") else ""
    return f"The recommendation is {also}{'; '.join(parts)}." if parts else ""


def failures(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return at which budgets the default has no samples."""
    at = [budget.nfe for budget, _ in pairs if budget.default.failed]
    return f"What you use now fails with {evaluations(*at)}." if at else ""


def draws_noise(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return the caveat on a default that draws noise."""
    if not all(budget.default.error is None and not budget.default.failed for budget, _ in pairs):
        return ""
    return (
        "What you use now draws noise, and so can make better images than the converged ones, which a network's "
        "own error is part of; no distance to these tells. Look at the pictures, and compare both with real "
        "images: samplerbench run quick --model MODEL --reference IMAGES."
    )


def by_mean_square(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return where the recommendation has a larger root mean square than the default."""
    at = [
        budget.nfe
        for budget, best in pairs
        if best.choice.rms is not None
        and budget.default.rms is not None
        and best.choice.rms > budget.default.rms
        and not same(best.choice, budget.default)
    ]
    if not at:
        return ""
    return f"By root mean square, which a few samples decide, what you use now is closer with {evaluations(*at)}."


def lacking(pairs: Sequence[tuple[Budget, Best]], library: str) -> str:
    """Return what a library lacks of the best that was tried, and the largest cost of that."""
    costs = [
        (best.to_best.low, budget.nfe, best.to_best, budget.best["python"])
        for budget, best in pairs
        if best.to_best
        and "python" in budget.best
        and not same(best.choice, budget.best["python"].choice)
    ]
    if not costs:
        return ""
    losses = [item for item in costs if verdict(item[2]) == "farther"]
    if not losses:
        names = dict.fromkeys(named(leader.choice) for *_, leader in costs)
        return (
            f"The best that was tried, {listed(names)}, is not in {title(library)}; what {title(library)} "
            "has was not shown to be farther."
        )
    _, nfe, ratio, leader = max(losses, key=lambda item: item[:2])
    number, ends = times(ratio)
    return (
        f"The best that was tried with {evaluations(nfe)}, {named(leader.choice)}, is not in "
        f"{title(library)}: what {title(library)} has is {number} times farther {ends}."
    )


def enough(pairs: Sequence[tuple[Budget, Best]], span: float | None) -> str:
    """Return from which budgets on more evaluations bought nothing that a measure shows."""
    none_left = _from(pairs, [_holds_zero(best.choice.fd_conv) for _, best in pairs])
    invisible = _from(pairs, [_is_invisible(best, span) for _, best in pairs])
    parts = []
    if none_left:
        since, rest = none_left
        parts.append(
            f"{since}, more bought nothing that fd_conv shows: its intervals contain 0."
            if rest
            else f"{since}, the interval of fd_conv contains 0."
        )
    if invisible:
        parts.append(
            f"{invisible[0]}, the recommendation's error is below half a level of an 8-bit image."
        )
    return " ".join(parts)


def _from(pairs: Sequence[tuple[Budget, Best]], holds: Sequence[bool]) -> tuple[str, int] | None:
    """Return from which budget on something holds, and how many follow; None if not at the last."""
    place = next((n for n in range(len(holds)) if all(holds[n:])), None)
    if place is None:
        return None
    nfe, rest = pairs[place][0].nfe, len(pairs) - 1 - place
    return (f"From {evaluations(nfe)} on" if rest else f"With {evaluations(nfe)}"), rest


def ties(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return how many configurations the race could not separate from the recommendation."""
    tied = {budget.nfe: len(best.tied) for budget, best in pairs if best.tied}
    if not tied:
        return ""
    least, most = min(tied.values()), max(tied.values())
    number = counted(most, "other") if least == most else f"{least} to {counted(most, 'other')}"
    return (
        f"The race could not tell the recommendation apart from {number} with "
        f"{evaluations(*tied)}; the table has their names."
    )


def distribution(pairs: Sequence[tuple[Budget, Best]]) -> str:
    """Return what is decidedly nearer to converged samples in distribution than the best that was tried."""
    parts = []
    for budget, _ in pairs:
        other, leader = budget.in_distribution, budget.best.get("python")
        if other is None or other.fd_conv is None:
            continue
        against = leader.choice.fd_conv if leader else None
        parts.append(
            f"{named(other)} with {evaluations(budget.nfe)} (fd_conv {measured(other.fd_conv)}"
            + (f" against {measured(against)})" if against else ")")
        )
    return f"Nearer in distribution than the best that was tried: {listed(parts)}." if parts else ""


def _is_shown(best: Best, budget: Budget, kind: str) -> bool:
    """Return True if the ratio to the default shows this; the default itself shows nothing."""
    return not same(best.choice, budget.default) and verdict(best.to_default) == kind


def _holds_zero(value: Value | None) -> bool:
    return value is not None and not value.flag and value.low <= 0 <= value.high


def _is_invisible(best: Best, span: float | None) -> bool:
    """Return True if all of the error's interval is below half a level of 8 bits over the range."""
    error = best.choice.error
    return bool(span and error and not error.flag and error.high < span / LEVELS / 2)
