"""Sentences that state what the numbers of an answer show.

Comparisons have 95 % intervals, except for root mean squares. If the interval of a ratio includes 1 or is flagged,
the sentence says that no difference was shown. Intervals are not corrected for multiple comparisons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from ...results.table.description import names_in_words
from .answer import Budget, Recommendation, Value
from .exports import solver_title, title
from .wording import (
    Verdict,
    best_usual_solver,
    compare_intervals,
    decided_ratio_in_words,
    distances_in_words,
    evaluations_in_words,
    is_same_configuration,
    name_in_sentence,
    number_with_noun,
    shown_library,
    times_in_words,
    verdict,
)

LEVELS = 255
"""Number of steps between the darkest and the brightest value of an 8-bit image."""

Pairs = Sequence[tuple[Budget, Recommendation]]
"""Each budget with its recommendation, by number of evaluations, rising."""
SavingRatios = Mapping[tuple[int, int], Value]
"""Recommendation's error at budget M over the default's at budget N, by (M, N) with M <= N / 2."""


def conclusions(
    budgets: Sequence[Budget], default: str, library: str, halves: SavingRatios, span: float | None
) -> tuple[str, ...]:
    """Return the conclusions as sentences, most important first. The first is the headline.

    ``budgets`` has at least one answer, by number of evaluations, rising. ``default`` describes the present sampler.
    ``halves`` are ratios of errors to the default at twice the budget or more (:data:`SavingRatios`). ``span`` is the
    difference of the data's highest and lowest value, or None.
    """
    reader = shown_library(budgets, library)
    pairs = [(budget, budget.best[reader]) for budget in budgets if reader in budget.best]
    nothing = f"Nothing was found that {title(library)} can use for this model."
    if not pairs:
        return (nothing,)
    first = headline_budget([budget for budget, _ in pairs], reader)
    fails = _budgets_where(pairs, lambda budget, _: bool(budget.default.failed))
    texts = [
        _headline(pairs, first, first.best[reader]),
        f"What you use now is {default}.",
        _compare_with_own_solvers(first, reader),
        f"{nothing} The recommendation is for {title(reader)}." if reader != library else "",
        _same_error_with_fewer_evaluations(halves),
        _search_cost(pairs, halves),
        _gain_of_fits(pairs),
        _other_budgets(pairs, first),
        f"What you use now fails with {fails}." if fails else "",
        _draws_noise(pairs),
        _by_mean_square(pairs),
        _what_library_lacks(pairs, reader),
        _where_more_evaluations_buy_nothing(pairs, span),
    ]
    return tuple(filter(None, texts))


def headline_budget(budgets: Sequence[Budget], library: str) -> Budget:
    """Return the middle one of the budgets where the default is beaten, or else the last budget."""
    library = shown_library(budgets, library)
    pairs = [(budget, budget.best[library]) for budget in budgets if library in budget.best]
    closer = [budget for budget, best in pairs if _shows_verdict(best, budget, "closer")]
    return closer[(len(closer) - 1) // 2] if closer else budgets[-1]


def _shows_verdict(best: Recommendation, budget: Budget, kind: Verdict) -> bool:
    """Return True if ``kind`` is the verdict on a recommendation that differs from the default."""
    is_default = is_same_configuration(best.choice, budget.default)
    return not is_default and verdict(best.to_default) == kind


def _budgets_where(pairs: Pairs, holds: Callable[[Budget, Recommendation], bool]) -> str:
    """Return as text the budgets for which ``holds(budget, best)`` is True; "" for none."""
    budgets = [budget.nfe for budget, best in pairs if holds(budget, best)]
    return evaluations_in_words(*budgets) if budgets else ""


def _headline(pairs: Pairs, budget: Budget, best: Recommendation) -> str:
    now, at = "what you use now", evaluations_in_words(budget.nfe)
    if best.to_default and _shows_verdict(best, budget, "closer"):
        closer = decided_ratio_in_words(best.to_default, "times")
        return f"With {at}, {name_in_sentence(best.choice)} is {closer} to the converged samples than {now}."
    if all(is_same_configuration(best.choice, entry.default) for entry, best in pairs):
        return f"Nothing better than {now} was found."
    if compared := _budgets_where(pairs, lambda _, best: best.to_default is not None):
        if any(_shows_verdict(best, entry, "farther") for entry, best in pairs):
            return f"No configuration was shown to be closer to the converged samples than {now}."
        return f"No difference from {now} was shown with {compared}."
    text = f"With {at}, {name_in_sentence(best.choice)} is recommended"
    rival = best_usual_solver(budget, best.library)
    if rival and rival.ratio and verdict(rival.ratio) == "closer":
        closer = decided_ratio_in_words(rival.ratio, "times")
        text += f". It is {closer} to the converged samples than {name_in_sentence(rival.choice)}"
    mine, theirs = best.choice.fd_conv, budget.default.fd_conv
    if mine is None or theirs is None:
        return f"{text}. It could not be compared with {now}."
    verdicts = {
        "closer": f"are nearer to the converged samples than {now}",
        "farther": f"are farther from the converged samples than {now}",
        "open": f"showed no difference from {now}",
    }
    shown = verdicts[compare_intervals(mine, theirs)]
    numbers = distances_in_words(mine, theirs)
    return f"{text}. As a whole, its samples {shown} (fd_conv {numbers})."


def _compare_with_own_solvers(budget: Budget, library: str) -> str:
    rival = best_usual_solver(budget, library)
    if rival is None or rival.ratio is None:
        return ""
    whose = solver_title(library)
    own = budget.best[library].own
    solvers = f"solvers of {whose} that were tried" if own else f"usual solvers of {whose}"
    other = f"{name_in_sentence(rival.choice)}, the best of the {solvers}"
    at = evaluations_in_words(budget.nfe)
    if verdict(rival.ratio) == "open":
        return f"With {at}, the recommendation showed no difference from {other}."
    return f"With {at} the recommendation is {decided_ratio_in_words(rival.ratio, 'times')} than {other}."


def _largest_saving(halves: SavingRatios) -> tuple[int, int] | None:
    """Return (M, N) of largest N / M where M evaluations of ours beat N of the default, or None."""
    closer = [pair for pair, ratio in halves.items() if verdict(ratio) == "closer"]
    return min(closer, key=lambda pair: (-pair[1] / pair[0], halves[pair].high, pair), default=None)


def _same_error_with_fewer_evaluations(halves: SavingRatios) -> str:
    pair = _largest_saving(halves)
    if pair is None:
        return ""
    closer = decided_ratio_in_words(halves[pair], "times")
    return (
        f"With {evaluations_in_words(pair[0])} the recommendation is {closer} than what you use now is "
        f"with {pair[1]}."
    )


def _search_cost(pairs: Pairs, halves: SavingRatios) -> str:
    searched = {b.nfe: n for b, best in pairs if (n := best.choice.search_evaluations)}
    if not searched:
        return ""
    pair = _largest_saving(halves)
    if pair is None or pair[0] not in searched:
        return f"The search of auto's settings took at most {max(searched.values()):,} evaluations of the model, once."
    few, many = pair
    samples = math.ceil(searched[few] / (many - few))
    return (
        f"For {evaluations_in_words(few)}, the search of auto's settings took {searched[few]:,} evaluations of the "
        f"model, once. Compared with what you use now with {many}, it pays from {number_with_noun(samples, 'sample')} on."
    )


def _gain_of_fits(pairs: Pairs) -> str:
    some = [(budget, best) for budget, best in pairs if best.untuned]
    if not some:
        return ""
    text = (
        f"With {evaluations_in_words(*(budget.nfe for budget, _ in some))}, noise levels or coefficients of the "
        "recommendation were fitted to this model, on samples that nothing else uses. The lines to paste have the "
        "numbers."
    )
    budget, best = some[(len(some) - 1) // 2]
    if best.untuned is None or best.untuned_ratio is None:
        return text
    return (
        f"{text} Without this, {name_in_sentence(best.untuned)} has "
        f"{times_in_words(best.untuned_ratio, 'the error')} with {evaluations_in_words(budget.nfe)}."
    )


def _other_budgets(pairs: Pairs, first: Budget) -> str:
    """Return sentences that compare with the default at budgets not in the headline, or ""."""
    compared = [pair for pair in pairs if pair[1].to_default]
    others = [pair for pair in compared if pair[0] is not first]
    equal = [pair for pair in pairs if is_same_configuration(pair[1].choice, pair[0].default)]

    def budgets_with(kind: Verdict, some: Pairs) -> str:
        return _budgets_where(some, lambda budget, best: _shows_verdict(best, budget, kind))

    parts = {
        "The recommendation is also closer": budgets_with("closer", others),
        "It is farther than what you use now": budgets_with("farther", compared),
        "No difference from what you use now was shown": budgets_with("open", compared),
        "It is the same as what you use now": _budgets_where(
            equal, lambda *_: len(equal) < len(pairs)
        ),
    }
    texts = [f"{words} with {at}." for words, at in parts.items() if at]
    shown_at_first = any(_shows_verdict(best, budget, "closer") for budget, best in pairs)
    if not shown_at_first and len(texts) == 1 and texts[0].startswith("No difference"):
        return ""  # the headline says so
    return re.sub("^It is", "The recommendation is", " ".join(texts))


def _draws_noise(pairs: Pairs) -> str:
    if not all(budget.default.draws_noise and not budget.default.failed for budget, _ in pairs):
        return ""
    return (
        "What you use now adds noise at its steps, so its images can be better than the converged ones. Converged "
        "samples contain the network's own error, and no distance to them shows this. Look at the pictures, and "
        "compare both with real images: samplerbench run quick --model MODEL --reference IMAGES."
    )


def _by_mean_square(pairs: Pairs) -> str:
    def is_larger(budget: Budget, best: Recommendation) -> bool:
        mine, now = best.choice.rms, budget.default.rms
        larger = mine is not None and now is not None and mine > now
        return larger and not is_same_configuration(best.choice, budget.default)

    at = _budgets_where(pairs, is_larger)
    text = "The measured root mean square error, which a few samples decide, is smaller"
    return f"{text} for what you use now with {at}. It has no interval." if at else ""


def _what_library_lacks(pairs: Pairs, library: str) -> str:
    lacking = [
        (budget, best.to_best)
        for budget, best in pairs
        if best.to_best
        and "python" in budget.best
        and not is_same_configuration(best.choice, budget.best["python"].choice)
    ]
    if not lacking:
        return ""
    losses = [pair for pair in lacking if verdict(pair[1]) == "farther"]
    if not losses:
        names = dict.fromkeys(name_in_sentence(b.best["python"].choice) for b, _ in lacking)
        return (
            f"The best configuration tried, {names_in_words([*names])}, is not in {title(library)}. The best that "
            f"{title(library)} has was not shown to be farther."
        )
    budget, ratio = max(losses, key=lambda pair: (pair[1].low, pair[0].nfe))
    leader, by_node = budget.best["python"].choice, budget.best.get("comfyui-node")
    node = library == "comfyui" and by_node and is_same_configuration(by_node.choice, leader)
    text = (
        f"The best configuration tried with {evaluations_in_words(budget.nfe)}, {name_in_sentence(leader)}, is not in "
        f"{title(library)}. The best that {title(library)} has is {times_in_words(ratio, 'farther')}."
    )
    return f"{text} The node SamplerTable runs the best one (--for comfyui-node)." if node else text


def _where_more_evaluations_buy_nothing(pairs: Pairs, span: float | None) -> str:
    def holds_zero(best: Recommendation) -> bool:
        value = best.choice.fd_conv
        return value is not None and not value.flag and value.low <= 0 <= value.high

    def is_invisible(best: Recommendation) -> bool:
        error = best.choice.error
        return bool(span and error and not error.flag and error.high < span / LEVELS / 2)

    parts = []
    if since := _from_which_budget_on(pairs, holds_zero):
        more = ", more evaluations brought no measurable gain: the intervals of fd_conv contain 0."
        one = ", fd_conv, the distance in distribution, shows no error: its interval contains 0."
        parts.append(since + (more if since.startswith("From") else one))
    if since := _from_which_budget_on(pairs, is_invisible):
        parts.append(
            f"{since}, the recommendation's error is below half a brightness step of an 8-bit image."
        )
    return " ".join(parts)


def _from_which_budget_on(pairs: Pairs, holds: Callable[[Recommendation], bool]) -> str:
    """Return "From N evaluations on" if ``holds`` from N on, "With N" for the last N, or ""."""
    flags = [holds(best) for _, best in pairs]
    place = next((n for n in range(len(flags)) if all(flags[n:])), None)
    if place is None:
        return ""
    at = evaluations_in_words(pairs[place][0].nfe)
    return f"From {at} on" if place < len(pairs) - 1 else f"With {at}"
