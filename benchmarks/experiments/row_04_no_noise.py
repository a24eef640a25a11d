"""Row 4: does the reverse process need noise beyond the first draw, and does the trade-off remain without it?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from .base import Answer, Row, Verdict
from .flagged import mark, note
from .intervals import Interval
from .no_noise import Measured, measure
from .no_noise_figures import DETAILS, draw
from .wording import brackets, half

SLIGHT = 0.05
"""A difference in distance below this share of the variance of the data's features is none."""


def tell(found: Measured) -> Answer:
    """Quality and errors against evaluations."""
    table = pd.DataFrame(
        {
            "evaluations": found.counts,
            **{f"distance to data, {name}{mark(found.flags)}": [half(one) for one in line] for name, line in found.quality.items()},
            "euler less ddpm": [brackets(one) for one in found.noise],
        }
    )
    verdict = judge(dict(zip(found.counts, found.noise, strict=True)), found.trade, found.variance)
    return Answer(draw(found), table, verdict, DETAILS + note(found.flags))


def judge(noise: Mapping[int, Interval], trade: Interval, scale: float) -> Verdict:
    """What becomes of the claim.

    Args:
        noise: by number of steps, the distance to the data without noise less that with it, at equal evaluations.
        trade: distance after one step less that after the most, without noise.
        scale: total variance of the data's features.
    """
    most, slight = max(noise), SLIGHT * scale
    last = noise[most]
    helps = [steps for steps, one in noise.items() if one.high < 0]
    hurts = [steps for steps, one in noise.items() if one.low > 0]
    numbers = (
        f"At {most} steps leaving out the noise changes the distance to the data by {last}, where their features have a variance of "
        f"{scale:.3g}; one step is farther than {most} by {trade}. Where the interval tells, Euler’s method is nearer without noise at "
        f"{_list(helps)} and farther at {_list(hurts)}."
    )
    if last.low > slight:
        return Verdict("refutes", f"Noise is needed here. {numbers}")
    if last.high > slight:
        return Verdict("inconclusive", f"These samples do not tell. {numbers}")
    if trade.low <= slight:
        return Verdict("refines", f"No noise is needed, but there is no trade-off either. {numbers}")
    return Verdict("supports", f"No noise is needed, and the trade-off remains. {numbers}")


def _list(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) + " steps" if steps else "no number of steps"


ROW = Row(
    number=4,
    question="Does sampling need noise beyond the first draw?",
    claim="The reverse process can be followed without adding noise after the first draw, and big steps cost quality all the same.",
    measure=measure,
    tell=tell,
)
