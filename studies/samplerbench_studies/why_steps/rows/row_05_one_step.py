"""Row 5: without noise, does one step give as much as fifty?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..figures.one_step import DETAILS, draw
from ..measuring.one_step import CLOCKS, OneStepResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, half, mark, note

NEGLIGIBLE = 0.01
"""A gap below this share of the variance of the features is none."""


def answer(found: OneStepResult) -> Answer:
    """Distances and errors against steps."""
    columns: dict[str, object] = {"steps": found.counts}
    for clock in CLOCKS:
        name = f"distance to data, {clock}{mark(found.flags)}"
        columns[name] = [half(one) for one in found.distances[clock]]
        columns[f"error on a Gaussian, {clock}"] = [f"{error:.2g}" for error in found.errors[clock]]
    verdict = judge(found.gaps, found.variance, found.errors[CLOCKS[1]][0])
    return Answer(
        draw(found.counts, found.distances, found.errors),
        pd.DataFrame(columns),
        verdict,
        DETAILS + note(found.flags),
    )


def judge(gaps: Mapping[str, Interval], scale: float, straight: float) -> Verdict:
    """What becomes of the claim.

    Args:
        gaps: distance to the data after one step less that after fifty, in each clock.
        scale: total variance of the data's features; a gap that is surely below :data:`NEGLIGIBLE`
            of it is none.
        straight: error of one step on an isotropic Gaussian in its own clock, relative to its
            standard deviation.
    """
    worst, best = (
        max(gaps.values(), key=lambda one: one.value),
        min(gaps.values(), key=lambda one: one.value),
    )
    numbers = (
        "One step is farther from the data than fifty by a Fréchet distance of "
        f"{between(best)} in the better clock and "
        f"{between(worst)} in the "
        f"other; the features of the data have a variance of {scale:.3g}.",
        "On an isotropic Gaussian, in the clock that makes its paths straight, one step "
        f"errs by {straight:.0e} standard deviations.",
        INTERVALS,
    )
    if best.high < NEGLIGIBLE * scale:
        return Verdict(
            "supports", "In the right clock, one step is as good as fifty here.", numbers
        )
    if best.low > NEGLIGIBLE * scale:
        sentence = (
            "Leaving out the added noise does not make one step enough, because one step follows a "
            "straight line and the paths from noise to images bend."
        )
        return Verdict("refutes", sentence, numbers)
    return Verdict(
        "inconclusive", "These samples are too few to tell one step from fifty.", numbers
    )


ROW = Row(
    number=5,
    question="Without added noise, is one step as good as fifty?",
    claim="If no noise is added, nothing is lost by jumping: one step gives as much as fifty.",
    measure=measure,
    answer=answer,
)
