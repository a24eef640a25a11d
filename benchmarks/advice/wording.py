"""Numbers of an answer in words that claim no more than intervals show, and rows of its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from ...results.table.description import names_in_words
from ...results.text import format_number, interval_text
from .answer import (
    Advice,
    Alternative,
    Budget,
    Choice,
    Recommendation,
    Value,
    describe_configuration,
)
from .exports import named_solver, solver_title, title

Verdict = Literal["closer", "farther", "open"]
"""Verdict on two errors: the first is shown to be smaller, larger, or neither."""

NO_LIMIT = "no upper limit"
"""Upper end of an interval that ends at infinity."""


def verdict(ratio: Value | None) -> Verdict:
    """Return "closer" for a ratio shown to be below 1, "farther" above, else (or None) "open"."""
    if ratio is None or ratio.flag or not math.isfinite(ratio.value):
        return "open"
    if ratio.high < 1:
        return "closer"
    return "farther" if ratio.low > 1 else "open"


def compare_intervals(first: Value, other: Value) -> Verdict:
    """Return "closer" or "farther", for ``first``; "open" if intervals overlap or are flagged."""
    if first.flag or other.flag or (first.low <= other.high and other.low <= first.high):
        return "open"
    return "closer" if first.value < other.value else "farther"


def inverse(ratio: Value) -> Value:
    """Return the reciprocal of a ratio and its interval, with infinity in place of 1 / 0."""
    ends = (ratio.value, ratio.high, ratio.low)
    value, low, high = (1 / end if end else math.inf for end in ends)
    return Value(value, low, high, ratio.flag)


def ratio_in_words(ratio: Value) -> tuple[str, str]:
    """Return a ratio and its interval as texts of 2 to 5 digits, enough not to read as "1".

    >>> ratio_in_words(Value(3.219, 2.9, 3.6)), ratio_in_words(Value(1.04, 1.004, 1.08))
    (('3.2', '[2.9, 3.6]'), ('1.04', '[1.004, 1.08]'))
    """
    texts = [_not_rounded_to_one(value) for value in (ratio.value, ratio.low, ratio.high)]
    return texts[0], f"[{texts[1]}, {texts[2] if ratio.high < math.inf else NO_LIMIT}]"


def _not_rounded_to_one(value: float) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    first = 3 if abs(value - 1) < 0.2 else 2
    texts = [format_number(value, digits) for digits in range(first, 6)]
    return next((text for text in texts if text != "1" or value == 1), texts[-1])


def times_in_words(ratio: Value, words: str, times: str = "times") -> str:
    """Return a ratio as part of a sentence, such as ``3.2 times farther [2.9, 3.6]``."""
    number, ends = ratio_in_words(ratio)
    return f"{number} {times} {words} {ends}"


def decided_ratio_in_words(ratio: Value, times: str = "×") -> str:
    """Return a ratio of errors that differs from 1 as text: ``3.2 × closer [2.9, 3.6]`` below 1."""
    outcome = verdict(ratio)
    return times_in_words(ratio if outcome == "farther" else inverse(ratio), outcome, times)


def value_in_words(value: Value | None) -> str:
    """Return ``value [low, high]``, ``value`` if exact, "–" for None; a final "?" marks a flag."""
    if value is None:
        return "–"
    if value.low == value.high and not value.flag:
        return format_number(value.value)
    # an unbiased distance may be below 0, and is shown as 0
    text = interval_text(max(value.value, 0.0), value.low, value.high)
    return text.replace("inf]", f"{NO_LIMIT}]") + ("?" if value.flag else "")


def distances_in_words(mine: Value | None, other: Value | None) -> str:
    """Return a distance in distribution as text, followed by ``against`` and ``other`` if given."""
    return value_in_words(mine) + (f" against {value_in_words(other)}" if other else "")


def name_in_sentence(choice: Choice) -> str:
    """Return the sampler and the schedule of a configuration as part of a sentence."""
    fitted = bool(choice.coefficients)
    return describe_configuration(choice.sampler, choice.schedule, coefficients=fitted)


def _own_choice(best: Recommendation) -> Choice | None:
    """Return ``best.own`` under the name that its lines give to the solver, if they give one."""
    named = named_solver(best.library, best.own_lines.code) if best.own_lines else ""
    return replace(best.own, sampler=named) if best.own and named else best.own


def own_solver_in_words(best: Recommendation) -> str:
    """Return a sentence on the error of the library's best built-in solver; "" without one."""
    own = _own_choice(best)
    if own is None:
        return ""
    text = f"Without numbers: {name_in_sentence(own)} of {solver_title(best.library)}"
    if best.own_ratio is None:
        return f"{text}."
    shown = "" if verdict(best.own_ratio) == "farther" else " (no difference shown)"
    return f"{text} has {times_in_words(best.own_ratio, 'the error')}{shown}."


def is_same_configuration(first: Choice, other: Choice) -> bool:
    """Return True if two choices have the same description; their labels may differ."""
    return name_in_sentence(first) == name_in_sentence(other)


def number_with_noun(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 latent`` or ``1,024 latents``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def evaluations_in_words(*nfe: int) -> str:
    """Return budgets as part of a sentence, such as ``1 evaluation`` or ``5 and 8 evaluations``."""
    return f"{names_in_words([*map(str, nfe)])} {'evaluation' if nfe == (1,) else 'evaluations'}"


class TableCell(NamedTuple):
    """Cell of the table: a text, a detail below it or in brackets, and a verdict as ``tone``."""

    text: str
    detail: str = ""
    tone: Verdict = "open"

    @property
    def full_text(self) -> str:
        """Text and detail on one line."""
        return f"{self.text} ({self.detail})" if self.text and self.detail else self.text


NOTHING = TableCell("")


@dataclass(frozen=True)
class TableRow:
    """Row of the table: the recommendation at one budget.

    Attributes:
        recommendation: label of the recommendation, followed by the evaluations that it makes if they are not ``nfe``.
        versus_default: comparison with the default at this budget, or the reason why there is none.
        best: comparison with the best configuration that was tried.
        own_solvers: comparison with the library's best usual or built-in solver.
        error, ms: error, and milliseconds that a sample takes, of the recommendation and of the default.
        is_best: True if the recommendation is the best that was tried, of any library.
        nearest: sampler that is nearer in distribution than the best that was tried, and the distances of both.
    """

    nfe: int
    recommendation: str
    versus_default: TableCell = NOTHING
    error: TableCell = NOTHING
    best: TableCell = NOTHING
    is_best: bool = False
    own_solvers: TableCell = NOTHING
    ms: TableCell = NOTHING
    tied: tuple[str, ...] = ()
    nearest: TableCell = NOTHING


def shown_library(budgets: Iterable[Budget], library: str) -> str:
    """Return the requested library, or "python" if no budget has a recommendation for it."""
    return library if any(library in budget.best for budget in budgets) else "python"


def table_rows(advice: Advice) -> list[TableRow]:
    """Return the rows of the table, by number of evaluations, rising."""
    library = shown_library(advice.budgets, advice.library)
    return [table_row(budget, library) for budget in advice.budgets]


def table_row(budget: Budget, library: str) -> TableRow:
    """Return the row of one budget for users of a library."""
    best, default = budget.best.get(library), budget.default
    if best is None:
        return TableRow(budget.nfe, f"nothing found for {title(library)}")
    choice, other = best.choice, not is_same_configuration(best.choice, default)
    return TableRow(
        budget.nfe,
        choice.label + _actual_evaluations(choice, budget, " (makes {})"),
        compare_with_default(best, budget),
        _with_now(
            choice.error,
            default.error if other else None,
            value_in_words,
            _actual_evaluations(default, budget, ", with {}:"),
        ),
        compare_with_best(best, budget),
        "python" in budget.best and is_same_configuration(choice, budget.best["python"].choice),
        compare_with_own_solvers(budget, library),
        _with_now(choice.ms, default.ms if other else None, format_number),
        best.tied,
        nearest_sampler_cell(budget),
    )


def _actual_evaluations(choice: Choice, budget: Budget, words: str) -> str:
    """Return ``words`` with the choice's evaluations for ``{}``; "" if 0 or all of the budget."""
    return words.format(f"{choice.nfe:.4g}") if choice.nfe not in (0, budget.nfe) else ""


def _with_now(mine: Any, now: Any, in_words: Callable[[Any], str], suffix: str = "") -> TableCell:
    detail = "" if now is None else f"now{suffix} {in_words(now)}"
    return TableCell("" if mine is None else in_words(mine), detail)


def compare_with_default(best: Recommendation, budget: Budget) -> TableCell:
    """Return the cell that compares a recommendation with the default, or the reason why not."""
    default = budget.default
    if is_same_configuration(best.choice, default):
        return TableCell("what you use now")
    if default.failed:
        return TableCell("what you use now fails", default.failed)
    if best.choice.failed:
        return TableCell("fails", best.choice.failed)
    if best.to_default is None:
        return _in_distribution(best, default)
    return _compare(best.to_default)


def _in_distribution(best: Recommendation, default: Choice) -> TableCell:
    """Return the cell that compares with the default by ``fd_conv``, for lack of errors."""
    mine, theirs = best.choice.fd_conv, default.fd_conv
    if mine is None or theirs is None:
        why = "it draws noise" if default.draws_noise else "time ran out"
        return TableCell("not compared", why)
    numbers = f"fd_conv {distances_in_words(mine, theirs)}"
    outcome = compare_intervals(mine, theirs)
    if outcome == "open":
        return TableCell("no difference shown in distribution", numbers)
    word = "nearer" if outcome == "closer" else "farther"
    return TableCell(f"{word} in distribution", numbers, outcome)


def compare_with_own_solvers(budget: Budget, library: str) -> TableCell:
    """Return the cell that compares the recommendation with the best usual solver, or NOTHING."""
    rival = best_usual_solver(budget, library)
    if rival is None or rival.ratio is None:
        return NOTHING
    return _compare(rival.ratio, name_in_sentence(rival.choice))


def best_usual_solver(budget: Budget, library: str) -> Alternative | None:
    """Return the library's usual or built-in solver of least error; None if none has an error."""
    solvers, best = [*budget.alternatives], budget.best.get(library)
    if best and best.own_ratio and (own := _own_choice(best)):
        solvers.append(Alternative(own, inverse(best.own_ratio)))
    some = [(a.choice.error.value, a) for a in solvers if a.choice.error]
    return min(some, key=lambda pair: pair[0])[1] if some else None


def compare_with_best(best: Recommendation, budget: Budget) -> TableCell:
    """Return the cell that compares a recommendation with the best tried, of any library."""
    leader = budget.best.get("python")
    if leader is None:
        return NOTHING
    if is_same_configuration(best.choice, leader.choice):
        if budget.tried >= budget.candidate_count:
            return TableCell(f"the best of all {budget.tried:,}")
        return TableCell(f"the best of {budget.tried:,} tried", f"of {budget.candidate_count:,}")
    if best.to_best is None:
        return TableCell("not compared", leader.choice.label)
    return _compare(best.to_best, leader.choice.label)


def _compare(ratio: Value, name: str = "") -> TableCell:
    """Return the cell for the recommendation's error over the error of ``name`` ("": default)."""
    outcome, prefix = verdict(ratio), f"{name}: " if name else ""
    if outcome == "open":
        why = f", not to be trusted: {ratio.flag}" if ratio.flag else ""
        words = times_in_words(inverse(ratio), "as close", "×")
        return TableCell("no difference shown", f"{prefix}{words}{why}")
    return TableCell(decided_ratio_in_words(ratio), name, outcome)


def nearest_sampler_cell(budget: Budget) -> TableCell:
    """Return the cell for a sampler nearer in distribution than the best tried, empty for none."""
    other, leader = budget.in_distribution, budget.best.get("python")
    if other is None:
        return NOTHING
    numbers = distances_in_words(other.fd_conv, leader and leader.choice.fd_conv)
    return TableCell(other.label, numbers)
