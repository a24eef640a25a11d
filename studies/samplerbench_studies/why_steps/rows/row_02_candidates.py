"""Row 2: the set of clean images that are still possible, against the noise level."""

from __future__ import annotations

import pandas as pd

from ..figures import candidates as figures
from ..measuring.row import Answer, Row, Verdict
from ..measuring.shrinking import LEVELS, RISE, SHOWN, CandidatesResult, measure
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, percent

ONE_LEFT, OFTEN = 1.5, 0.05
"""More candidates than this are more than one.

A share of paths above this is more than an exception.
"""


def answer(found: CandidatesResult) -> Answer:
    """Candidates and information against the noise level."""
    verdict = judge(found.points.number(0), found.points.number(-1), found.rising)
    return Answer(figures.main(found, SHOWN), _table(found), verdict, figures.details(found, SHOWN))


def judge(first: Interval, last: Interval, rising: Interval) -> Verdict:
    """Refutes if more than one candidate is left.

    Refines if single paths often go the other way; else supports.

    Args:
        first: effective number of candidates at the highest level.
        last: at the lowest.
        rising: share of the paths on which the entropy rises somewhere.
    """
    start, end = between(first), between(last)
    numbers = (
        f"Candidates among the images of <code>digits-cloud</code>: {start} at the start, "
        f"{end} at the end.",
        f"Paths on which their number grows again by more than {RISE:g} nats, seen at "
        f"{len(LEVELS)} levels: {percent(rising)}.",
        INTERVALS,
    )
    if first.value <= ONE_LEFT:
        return Verdict(
            "inconclusive",
            "Only one image is possible from the start, so there is nothing to decide.",
            numbers,
        )
    if last.low > ONE_LEFT:
        return Verdict(
            "refutes", "More than one image is possible when the noise is gone.", numbers
        )
    if last.high > ONE_LEFT:
        return Verdict(
            "inconclusive",
            "These samples are too few to say whether one image is left.",
            numbers,
        )
    if rising.low > OFTEN:
        sentence = (
            "On average fewer and fewer images stay possible until one is left, but on "
            f"{rising.value:.0%} of the ways to an image a step makes some possible again."
        )
        return Verdict("refines", sentence, numbers)
    return Verdict(
        "supports",
        "Fewer and fewer images stay possible until one is left, and hardly ever does a step make "
        "some possible again.",
        numbers,
    )


def _table(found: CandidatesResult) -> pd.DataFrame:
    places = [LEVELS.index(level) for level in SHOWN]
    return pd.DataFrame(
        {
            "σ": f"{level:.3g}",
            "images still possible (digits-cloud)": _brief(found.points.number(i)),
            "components (fashion-mppca)": _brief(found.components.number(i)),
            "classes (fashion-mppca)": _brief(found.classes.number(i)),
            **{
                f"nats known, {name}": _nats(Interval.of(rows[place]))
                for name, rows in found.information.items()
            },
        }
        for place, (i, level) in enumerate(zip(places, SHOWN, strict=True))
    )


def _brief(number: Interval) -> str:
    places = 0 if number.value > 100 else 1 if number.value > 10 else 2
    return f"{number.value:,.{places}f}"


def _nats(known: Interval) -> str:
    places = 0 if known.value > 100 else 1 if known.value > 9.95 else 2
    return f"{known.value:,.{places}f} ± {known.half:.{places}f}"


ROW = Row(
    number=2,
    question="What do the small steps decide?",
    claim="As small steps are taken, the set of possible clean images shrinks, until one is left.",
    measure=measure,
    answer=answer,
)
