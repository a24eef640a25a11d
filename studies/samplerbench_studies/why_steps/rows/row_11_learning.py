"""Row 11: why are schedules not learned? Grids by search and by gradient, for the same evaluations."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ..figures.learning import DETAILS, draw
from ..measuring.learning import LearnedResult, measure
from ..measuring.row import Answer, Kind, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, half

SAME = 0.05
"""Errors that differ by less than this share are equally good."""
PRACTICE = "what people do in practice was not measured"
IN_WORDS = {
    "random": "random search",
    "coordinates": "coordinate search",
    "differences": "finite differences",
}
NOTHING = 0.98
"""A grid with more than this share of the error that it began with has gained nothing."""


def answer(found: LearnedResult) -> Answer:
    """Errors by method, and what they cost."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for case in found.cases:
        ends = [("best formula", case.start)]
        ends += [(one.method, one.final) for one in (*case.grids, *case.coefficients)]
        for method, error in ends:
            line = {"model": case.model, "method": method}
            lines.setdefault((case.model, method), line)[case.sampler] = half(error)
    table = pd.DataFrame(list(lines.values()))
    return Answer(draw(found), table, judge(found), DETAILS, keys=2)


def judge(found: LearnedResult) -> Verdict:
    """What becomes of the claim."""
    name, closest = max(found.searches.items(), key=lambda pair: pair[1].value)
    numbers = _numbers(found, name, closest)
    surprise = ""
    if found.coefficients.high < 1 - SAME:
        surprise = (
            "Learning more than the grid pays. With all coefficients of the sampler free, the "
            f"gradient leaves {100 * found.coefficients.value:.0f} % of the error of the best grid, "
            "for the same evaluations."
        )
    if found.gained.low > NOTHING and closest.low > NOTHING:
        return Verdict(
            "supports",
            "There is nothing to learn here: the best formula is as good as any grid that was found.",
            numbers,
            surprise,
        )
    beaten = {name: one for name, one in found.searches.items() if one.high < 1 - SAME}
    level = [name for name in found.searches if name not in beaten]
    if closest.low > 1 + SAME:
        sentence = "A search finds better grids than a gradient that may call the model as often"
        return Verdict("supports", f"{sentence}; {PRACTICE}.", numbers, surprise)
    if beaten:
        less = sorted(100 * (1 - one.value) for one in beaten.values())
        gain = f"{less[0]:.0f} %" if len(less) == 1 else f"{less[0]:.0f} to {less[-1]:.0f} %"
        rest = f", but not surely {100 * SAME:.0f} % less than {_listed(level)}" if level else ""
        kind: Kind = "refines" if level else "refutes"
        sentence = (
            f"Placing the steps by gradient leaves {gain} less error than {_listed(beaten)}{rest}; "
            f"{PRACTICE}."
        )
        return Verdict(kind, sentence, numbers, surprise)
    if closest.low > 1 - SAME and closest.high < 1 + SAME:
        sentence = "Grids can be learned by gradient, and every search ends with equally good ones"
        return Verdict("refines", f"{sentence}; {PRACTICE}.", numbers, surprise)
    return Verdict(
        "inconclusive",
        "Too few starting noises to tell grids by gradient from grids by search.",
        numbers,
        surprise,
    )


def _listed(names: Iterable[str]) -> str:
    """Return names of searches with commas and an "and"."""
    *most, last = (IN_WORDS.get(name, name) for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def _numbers(found: LearnedResult, name: str, closest: Interval) -> tuple[str, ...]:
    """What the verdict rests on."""
    each = ", ".join(f"{search} {between(one)}" for search, one in found.searches.items())
    seconds: dict[str, float] = {}
    for case in found.cases:
        for one in (*case.grids, *case.coefficients):
            seconds[one.method] = seconds.get(one.method, 0.0) + one.seconds / len(found.cases)
    spent = found.cases[0].grids[0].spent[-1]
    searched = found.coefficients_searched
    lines = [
        f"Grids by gradient leave {between(found.gained)} times the error of the best formula.",
        f"Their error over that of grids by each search: {each}. The best of these searches is "
        f"{name}, {between(closest)}. Differences is a descent too, whose slopes are differences.",
        "Against whichever search is best for each sampler and model, which together may spend "
        f"{len(found.searches)} times as much: {between(found.against)}. The gradient gets as far as "
        f"it with {100 * found.early:.0f} % of the evaluations of one (geometric mean).",
        "With coefficients free too, by gradient: "
        f"{between(found.coefficients)} times the error of the best grid"
        + ("." if searched is None else f", and {between(searched)} times that of CMA-ES on them."),
        f"Each method spends {spent:g} evaluations on each starting noise. Seconds of one core, on "
        "average: " + ", ".join(f"{method} {one:.2g}" for method, one in seconds.items()) + ".",
    ]
    if found.missing:
        lines.append(
            f"Left out, for the package optuna is not installed: {', '.join(found.missing)}."
        )
    return (*lines, INTERVALS)


ROW = Row(
    number=11,
    question="Why are schedules not learned?",
    claim="Schedules are set by a search over hyperparameters rather than by gradient.",
    measure=measure,
    answer=answer,
)
