"""Values and ratios of errors in words that claim no more than their intervals show."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from ...results.text import format_number, interval
from .answer import Best, Choice, Value, configuration

Verdict = Literal["closer", "farther", "open"]
"""Verdict of the interval of a ratio of two errors: the first is smaller, larger, or neither."""


def verdict(ratio: Value | None) -> Verdict:
    """Return what a ratio of errors shows; nothing if its interval includes 1 or is not to be trusted."""
    if ratio is None or ratio.flag or not math.isfinite(ratio.value):
        return "open"
    if ratio.high < 1:
        return "closer"
    return "farther" if ratio.low > 1 else "open"


def compare_intervals(first: Value, other: Value) -> Verdict:
    """Return what the intervals of two values show of the first; nothing if they meet or one is flagged."""
    if first.flag or other.flag or (first.low <= other.high and other.low <= first.high):
        return "open"
    return "closer" if first.value < other.value else "farther"


def inverse(ratio: Value) -> Value:
    """Return one over a ratio of errors, how many times closer; infinite where no error is left."""

    def over(value: float) -> float:
        return 1 / value if value else math.inf

    return Value(over(ratio.value), over(ratio.high), over(ratio.low), ratio.flag)


def times(ratio: Value) -> tuple[str, str]:
    """Return a ratio and its interval, each to as many digits as it takes not to read as 1 where it is
    not 1; five at most.

    >>> times(Value(3.219, 2.9, 3.6)), times(Value(1.04, 1.004, 1.08))
    (('3.2', '[2.9, 3.6]'), ('1.04', '[1.004, 1.08]'))
    """
    texts = [_beside_one(value) for value in (ratio.value, ratio.low, ratio.high)]
    return texts[0], f"[{texts[1]}, {texts[2]}]"


def _beside_one(value: float) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    first = 3 if abs(value - 1) < 0.2 else 2
    texts = [format_number(value, digits) for digits in range(first, 6)]
    return next((text for text in texts if text != "1" or value == 1), texts[-1])


def beside(ratio: Value) -> str:
    """Return a ratio of errors that shows something, for people: ``3.2 × closer [2.9, 3.6]``."""
    outcome = verdict(ratio)
    number, ends = times(ratio if outcome == "farther" else inverse(ratio))
    return f"{number} × {outcome} {ends}"


def open_ratio(ratio: Value) -> str:
    """Return a ratio of errors that shows nothing: ``1.05 × as close [0.98, 1.11]``, and why, if its
    interval is not to be trusted.
    """
    number, ends = times(inverse(ratio))
    why = f", not to be trusted: {ratio.flag}" if ratio.flag else ""
    return f"{number} × as close {ends}{why}"


def measured(value: Value | None) -> str:
    """Return ``value [low, high]``, the value alone where there is nothing to estimate, with ``?`` after an
    interval that is not to be trusted; "–" if there is none.
    """
    if value is None:
        return "–"
    if value.low == value.high and not value.flag:
        return format_number(value.value)
    return interval(value.value, value.low, value.high) + ("?" if value.flag else "")


def named(choice: Choice) -> str:
    """Return a configuration in a sentence: the sampler, and the schedule that it is on."""
    return configuration(choice.sampler, choice.schedule, coefficients=bool(choice.coefficients))


def own_solver(best: Best) -> str:
    """Return the cost of the library's best own solver if the recommendation is written out as numbers, or ""."""
    if best.own is None:
        return ""
    cost = "" if best.own_ratio is None else f": {_cost(best.own_ratio)}"
    return f"The nearest that {best.library} has as a solver of its own is {named(best.own)}{cost}."


def _cost(ratio: Value) -> str:
    number, ends = times(ratio)
    return f"{number} times the error {ends}" + (
        "" if verdict(ratio) == "farther" else ", no difference shown"
    )


def same(first: Choice, other: Choice) -> bool:
    """Return True if two choices are the same configuration under any name."""
    return named(first) == named(other)


def listed(items: Iterable[object]) -> str:
    """Return items as a list in a sentence.

    >>> listed([5]), listed([5, 8]), listed([5, 8, 12])
    ('5', '5 and 8', '5, 8 and 12')
    """
    texts = list(map(str, items))
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def counted(number: int, noun: str, many: str = "") -> str:
    """Return a number with its noun: ``1 latent``, ``1,024 latents``."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def evaluations(*nfe: int) -> str:
    """Return budgets as a list in a sentence: ``1 evaluation``, ``5 and 8 evaluations``."""
    return f"{listed(nfe)} {'evaluation' if nfe == (1,) else 'evaluations'}"
