"""The first sentences of a report: what to use, how much better it is, and from where on more work buys nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..record import Record
from ..text import short
from ..values import number
from .answer import Answer, Best
from .metrics import Measure
from .told_apart import told_apart

TYPICAL = 10
"""The budget nearest to this, by ratio, is the one that the first sentence is about."""


def lead(found: Answer, homes: Mapping[str, Path], crossings: pd.DataFrame) -> tuple[str, ...]:
    """The sentences on one problem.

    Args:
        found: the best samplers.
        homes: as in :func:`.answer.answer`.
        crossings: lines of :func:`..headline.headline` on this problem, the best first.
    """
    told = [best for best in found.best if best.verdict != "same as Euler"]
    if not told:
        return ("At these budgets all methods coincide: there is nothing to choose.",)
    best = min(told, key=lambda best: abs(math.log(best.budget / TYPICAL)))
    sentences = (_use(best, found.measure), _plateau(found, homes), _floor(crossings))
    return tuple(sentence for sentence in sentences if sentence)


def _use(best: Best, measure: Measure) -> str:
    """What to use at one budget, or that it is open."""
    at = f"At {best.budget} evaluation{'s' if best.budget != 1 else ''}"
    value = f"{measure.title} {measure.plus_minus(best.row)}"
    against = _against_euler(best, measure)
    if best.flagged:
        return f"{at} {best.curve} has the lowest value: {value}{against}; but intervals are flagged as unreliable (†)."
    if not best.rivals:
        return f"{at} use {best.curve}: {value}{against}."
    others = f"{len(best.rivals)} others" if len(best.rivals) > 1 else "".join(best.rivals)
    return f"{at} the choice is open: {best.curve} has the lowest value, {value}{against}, but {others} cannot be told apart from it."


def _against_euler(best: Best, measure: Measure) -> str:
    """How much better than Euler."""
    if best.baseline is None or best.verdict == "Euler is best":
        return ""
    if best.verdict == "inconclusive":
        return ", not told apart from Euler"
    low, high = (number(row, measure.name) or 0.0 for row in (best.row, best.baseline))
    if not _above_zero(best.row, measure):
        return f", where Euler has {short(high)}"
    return f", {short(high / low, 2)} times better than Euler"


def _above_zero(row: Record, measure: Measure) -> bool:
    """Whether a ratio to a row's value makes sense: it is positive, and more than its error."""
    value, se = number(row, measure.name) or 0.0, (number(row, measure.se) if measure.se else None) or 0.0
    return value > 2 * se and value > 0


def _plateau(found: Answer, homes: Mapping[str, Path]) -> str:
    """The smallest budget beyond which no best value is really lower; nothing where intervals are not to be trusted."""
    if any(best.flagged for best in found.best):
        return ""
    *earlier, last = found.best
    for place, best in enumerate(earlier):
        later = [(item.row, best.row) for item in found.best[place + 1 :]]
        if not any(told_apart(later, found.measure, homes)):
            return f"Beyond {best.budget} evaluations nothing is told apart from the best there: more buys no lower {found.measure.title}."
    return f"The best is still falling at {last.budget} evaluations, the most that were tried." if earlier else ""


def _floor(crossings: pd.DataFrame) -> str:
    """The sampler that needs the fewest evaluations until its own error is below the floor."""
    reached = crossings.loc[crossings["nfe_to_floor"] < math.inf]
    if not len(reached):
        return ""
    first = reached.iloc[0]
    flag = " †" if first["flag"] else ""
    return f"Fewest evaluations until a sampler's own error is below the floor: {first['curve']}, {first['shown']}{flag}."
