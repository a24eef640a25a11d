"""Row 4: does the reverse process need noise beyond the first draw, and does the trade-off
remain without it?
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..figures.no_noise import DETAILS, draw
from ..measuring.no_noise import NoNoiseResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, brackets, half, mark, note

SLIGHT = 0.05
"""A difference in distance below this share of the variance of the data's features is none."""


def answer(found: NoNoiseResult) -> Answer:
    """Quality and errors against evaluations."""
    table = pd.DataFrame(
        {
            "evaluations": found.counts,
            **{
                f"distance to data, {name}{mark(found.flags)}": [half(one) for one in line]
                for name, line in found.quality.items()
            },
            "euler less ddpm": [brackets(one) for one in found.noise],
        }
    )
    verdict = judge(dict(zip(found.counts, found.noise, strict=True)), found.trade, found.variance)
    return Answer(draw(found), table, verdict, DETAILS + note(found.flags))


def judge(noise: Mapping[int, Interval], trade: Interval, scale: float) -> Verdict:
    """What becomes of the claim.

    Args:
        noise: by number of steps, the distance to the data without noise less that with it, at
            equal evaluations.
        trade: distance after one step less that after the most, without noise.
        scale: total variance of the data's features.
    """
    most, slight = max(noise), SLIGHT * scale
    last = noise[most]
    helps = [steps for steps, one in noise.items() if one.high < 0]
    hurts = [steps for steps, one in noise.items() if one.low > 0]
    numbers = (
        f"In {most} steps, leaving out the noise changes the Fréchet distance to the data "
        f"by {between(last)}.",
        f"Without noise, one step is farther than {most} by {between(trade)}; the "
        f"features of the data have a variance of {scale:.3g}.",
        "At equal steps, where the interval tells, Euler’s method without noise is "
        f"nearer at {_list(helps)}, and farther at "
        f"{_list(hurts)}.",
        INTERVALS,
    )
    if last.low > slight:
        return Verdict(
            "refutes",
            "Noise is needed here: without it even many steps end farther from the data.",
            numbers,
        )
    if last.high > slight:
        return Verdict(
            "inconclusive", "These samples are too few to say whether noise is needed.", numbers
        )
    if trade.low <= slight:
        return Verdict(
            "refines", "No noise is needed, but here big steps cost nothing either.", numbers
        )
    return Verdict(
        "supports",
        "No noise is needed after the first draw, and big steps make worse images all the same.",
        numbers,
    )


def _list(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) + " steps" if steps else "no number of steps"


ROW = Row(
    number=4,
    question="Does sampling need noise beyond the first draw?",
    claim="The reverse process can be followed without adding noise after the first "
    "draw, and big steps cost quality all the same.",
    measure=measure,
    answer=answer,
)
