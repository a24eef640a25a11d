"""The first sentences of a report: what to use, how much better it is, and from where on more work buys nothing."""

from __future__ import annotations

import math

import pandas as pd

from ..comparison.findings import Best, Findings
from ..intervals import plus_minus
from ..quantities import Quantity
from ..record import Record
from ..text import short
from ..values import number
from .answer import Answer

TYPICAL = 10
"""The budget nearest to this, by ratio, is the one that the first sentence is about."""


def lead(found: Findings, said: Answer, crossings: pd.DataFrame) -> tuple[str, ...]:
    """The sentences on one problem.

    Args:
        found: the findings.
        said: the same in words.
        crossings: lines of :func:`..comparison.headline.headline` on this problem, the fewest evaluations first.
    """
    told = [best for best in found.best if best.standing != "the same"]
    if not told:
        return ("At these budgets all methods coincide: there is nothing to choose.",)
    best = min(told, key=lambda best: abs(math.log(best.budget / TYPICAL)))
    sentences = (_use(best, said.measure), _plateau(found, said.measure), _floor(crossings))
    return tuple(sentence for sentence in sentences if sentence)


def _use(best: Best, measure: Quantity) -> str:
    """What to use at one budget, or that it is open."""
    at = f"At {best.budget} evaluation{'s' if best.budget != 1 else ''}"
    value = f"{measure.title} {plus_minus(best.row, measure.name)}"
    if not best.others:
        return f"{at} {best.curve} has {value}; no other sampler was run there."
    if best.refusal:
        return f"{at} there is no verdict: {best.curve} has the lowest value, {value}; but {_because(best.refusal)}."
    against = _against_baseline(best, measure)
    if best.sure:
        return f"{at} use {best.curve}: {value}{against}."
    others = f"{len(best.rivals)} others" if len(best.rivals) > 1 else "".join(best.rivals)
    return f"{at} the choice is open: {best.curve} has the lowest value, {value}{against}, but {others} cannot be told apart from it."


def _because(refusal: str) -> str:
    """A reason against a verdict as part of a sentence."""
    if refusal.startswith("flagged"):
        return "intervals are flagged as unreliable (†)"
    return f"it is {refusal}" if refusal.startswith("dominated") else f"there is {refusal}"


def _against_baseline(best: Best, measure: Quantity) -> str:
    """How it stands to the baseline, and how much better it is."""
    said = {
        "inconclusive": f", not told apart from {best.against}",
        "equivalent": f", equivalent to {best.against}",
        "no verdict": f", without a verdict against {best.against}",
        "worse": f", worse than {best.against}",
    }
    if best.standing != "better" or best.baseline is None:
        return said.get(best.standing, "")
    low, high = (number(row, measure.name) or 0.0 for row in (best.row, best.baseline))
    if not _above_zero(best.row, measure):
        return f", where {best.against} has {short(high)}"
    return f", {short(high / low, 2)} times better than {best.against}"


def _above_zero(row: Record, measure: Quantity) -> bool:
    """Whether a ratio to a row's value makes sense: it is positive, and more than its error."""
    value, se = number(row, measure.name) or 0.0, (number(row, measure.se) if measure.se else None) or 0.0
    return value > 2 * se and value > 0


def _plateau(found: Findings, measure: Quantity) -> str:
    """What more work buys."""
    if found.plateau is None:
        return ""
    budget, kind = found.plateau.budget, found.plateau.kind
    if kind == "falling":
        return f"The lowest is still falling at {budget} evaluations, the most that were tried."
    if kind == "none":
        return f"Beyond {budget} evaluations more buys no lower {measure.title}."
    return f"Beyond {budget} evaluations nothing is told apart from the lowest there: whether more work helps is open."


def _floor(crossings: pd.DataFrame) -> str:
    """The sampler that needs the fewest evaluations until its own error is below the floor, and which floor that is."""
    reached = crossings.loc[crossings["nfe_to_floor"] < math.inf]
    if not len(reached):
        return ""
    first, others = reached.iloc[0], crossings.iloc[1:]
    rivals = [str(curve) for curve in others.loc[others["verdict"] != "worse", "curve"]]
    flag = " †" if first["flag"] else ""
    who = "Fewest evaluations" if len(others) and not rivals else "Evaluations"
    open_ = f"; {rivals[0] if len(rivals) == 1 else f'{len(rivals)} others'} cannot be told apart from it" if rivals else ""
    floor = f"{short(first['tolerance'])}, the floor of {first['samples']} samples"
    return f"{who} until a sampler's own error is below {floor}: {first['curve']}, {first['shown']}{flag}{open_}."
