"""Row 13: what does guidance do? When the class is decided, and what it costs in diversity."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ..figures.guidance import DETAILS, draw
from ..measuring.guiding import SCALES, GuidanceResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, brackets, percent


def answer(found: GuidanceResult) -> Answer:
    """When the class is decided, how often it is met, and how alike the samples are."""
    table = pd.DataFrame(
        [
            {
                "model": name,
                "guidance": f"{scale:g}",
                "in its class, %": brackets(one.fidelity, 100),
                "variance inside classes, % of guidance 1": "100"
                if scale == SCALES[0]
                else brackets(one.variance, 100),
                "class decided at σ": brackets(found.decided[scale])
                if name == "fashion-mppca"
                else "–",
            }
            for name, outcomes in found.outcomes.items()
            for scale, one in outcomes.items()
        ]
    )
    strongest = found.outcomes["fashion-mppca"][SCALES[-1]]
    return Answer(
        draw(found),
        table,
        judge(found.earlier, found.dropped, found.decided, strongest.variance),
        DETAILS,
        keys=2,
    )


def judge(
    earlier: Interval, dropped: float, decided: Mapping[float, Interval], variance: Interval
) -> Verdict:
    """What becomes of the claim.

    Args:
        earlier: factor by which the strongest guidance raises the noise level at which the class is
            decided; NaN if it never is.
        dropped: share of the latents that say nothing about this factor, being undecided with or
            without guidance.
        decided: that level, by guidance scale.
        variance: inside classes under the strongest guidance, as a share of that under none.
    """
    levels = ", ".join(
        f"σ = {brackets(one)} at guidance {scale:g}" for scale, one in decided.items()
    )
    numbers = (
        f"The class is decided at {levels}.",
        "From the same noise, the strongest guidance raises that level by a factor of "
        f"{brackets(earlier)}"
        + (
            f", without the {dropped:.1%} of the starts that stay undecided in either run."
            if dropped
            else "."
        ),
        f"Inside a class, {percent(variance)} of the variance is left at the strongest.",
        INTERVALS,
    )
    if not math.isfinite(earlier.value):
        nothing = (
            "The noisy image never tells the class, with guidance or without: "
            "there is nothing to be convinced of."
        )
        return Verdict("refutes", nothing)
    if earlier.low > 1 and variance.high < 1:
        sentence = (
            f"With guidance the class is decided earlier, at {earlier.value:.2g} times the noise, and "
            "images of a class differ less."
        )
        return Verdict("supports", sentence, numbers)
    if earlier.low > 1:
        return Verdict(
            "refines",
            "Guidance decides the class earlier, and its images differ as much as without.",
            numbers,
        )
    if earlier.high < 1 + 1e-9:
        return Verdict("refutes", "Guidance does not decide the class earlier.", numbers)
    return Verdict(
        "inconclusive",
        "These samples are too few to say whether guidance decides the class earlier.",
        numbers,
    )


ROW = Row(
    number=13,
    question="What does guidance by a text or a class do?",
    claim="Text is a twist: it tilts the probabilities, so that the network is convinced "
    "early that there is a dog.",
    measure=measure,
    answer=answer,
)
