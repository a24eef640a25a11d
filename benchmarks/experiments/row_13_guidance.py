"""Row 13: what does guidance do? When the class is decided, and what it costs in diversity."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from .base import Answer, Row, Verdict
from .guidance_figures import DETAILS, draw
from .guiding import SCALES, Measured, measure
from .intervals import Interval


def tell(found: Measured) -> Answer:
    """When the class is decided, how often it is met, and how alike the samples are."""
    table = pd.DataFrame(
        [
            {
                "model": name, "guidance": f"{scale:g}", "in its class": f"{one.fidelity.value:.1%}",
                "variance inside classes, of guidance 1": f"{one.variance.value:.0%}",
                "class decided at σ": written(found.decided[scale]) if name == "fashion-mppca" else "",
            }
            for name, outcomes in found.outcomes.items() for scale, one in outcomes.items()
        ]
    )  # fmt: skip
    strongest = found.outcomes["fashion-mppca"][SCALES[-1]]
    return Answer(draw(found), table, judge(found.earlier, found.dropped, found.decided, strongest.variance), DETAILS)


def judge(earlier: Interval, dropped: float, decided: Mapping[float, Interval], variance: Interval) -> Verdict:
    """What becomes of the claim.

    Args:
        earlier: factor by which the strongest guidance raises the noise level at which the class is decided; NaN if it never is.
        dropped: share of the latents that say nothing about this factor, being undecided with or without guidance.
        decided: that level, by guidance scale.
        variance: inside classes under the strongest guidance, as a share of that under none.
    """
    if not math.isfinite(earlier.value):
        return Verdict("refutes", "The state never tells the class, with guidance or without: there is nothing to be convinced of.")
    levels = ", ".join(f"σ = {one.value:.2g} [{one.low:.2g}, {one.high:.2g}] at guidance {scale:g}" for scale, one in decided.items())
    numbers = (
        f"The class is decided at {levels}. From the same latents it is a factor of {earlier.value:.2f} [{earlier.low:.2f}, "
        f"{earlier.high:.2f}], without the {dropped:.1%} that stay undecided in either run. Inside a class, {variance.value:.0%} "
        f"[{variance.low:.0%}, {variance.high:.0%}] of the variance is left at the strongest."
    )
    if earlier.low > 1 and variance.high < 1:
        return Verdict("supports", f"Guidance decides earlier, and pays with diversity. {numbers}")
    if earlier.low > 1:
        return Verdict("refines", f"Guidance decides earlier, and loses no diversity here. {numbers}")
    if earlier.high < 1 + 1e-9:
        return Verdict("refutes", f"Guidance does not decide earlier. {numbers}")
    return Verdict("inconclusive", f"These samples do not tell. {numbers}")


def written(one: Interval) -> str:
    """A level with its interval."""
    return f"{one.value:.2g} [{one.low:.2g}, {one.high:.2g}]"


ROW = Row(
    number=13,
    question="What does guidance by a text or a class do?",
    claim="Text is a twist: it tilts the probabilities, so that the network is convinced early that there is a dog.",
    measure=measure,
    tell=tell,
)
