"""Row 1: result of one jump, and the change to an image as steps are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..figures import one_jump as figures
from ..measuring.one_jump import JumpResult, JumpResults, measure
from ..measuring.row import Answer, Row, Verdict
from .wording import INTERVALS, brackets, codes, percent

COLLAPSED, UNLIKE = 0.2, 0.5
"""Share of the data's variance below which a jump counts as the mean, and share of passing samples,
relative to the most steps, below which it counts as no image.
"""
CROWDED = 10
"""Ratio to a real sample's number of near real samples above which a jump lies in their midst."""


def answer(found: JumpResults) -> Answer:
    """Return the answer: curves, pictures, and a table of all samples."""
    verdict, pictured = judge(found), figures.pictured(found)
    averages = verdict.kind in ("supports", "refines") and pictured
    opening = figures.opening(*next(iter(pictured.items()))) if averages else None
    strips = tuple(figures.strips(name, rows) for name, rows in pictured.items())
    more = (figures.quality(found),)
    return Answer(
        figures.curves(found),
        _table(found),
        verdict,
        figures.DETAILS,
        strips,
        more,
        keys=2,
        opening=opening,
    )


def judge(found: Mapping[str, Sequence[JumpResult]]) -> Verdict:
    """Return the verdict: "refutes" if a jump is not the mean, or all means pass for real.

    It is "supports" if none passes, "refines" if some do not, and "inconclusive" else.
    """
    jumps = {name: (rows[0], rows[-1]) for name, rows in found.items()}
    spread_out = [name for name, (jump, _) in jumps.items() if jump.spread.high >= COLLAPSED]
    outside = [
        name for name, (jump, best) in jumps.items() if jump.among.high < UNLIKE * best.among.low
    ]
    inside = [
        name for name, (jump, best) in jumps.items() if jump.among.low > UNLIKE * best.among.high
    ]
    numbers = (*(_numbers(name, *pair) for name, pair in jumps.items()), INTERVALS)
    if spread_out:
        return Verdict(
            "refutes", f"One jump does not give the average on {codes(spread_out)}.", numbers
        )
    if len(outside) == len(found):
        sentence = (
            "One jump gives the average: it is nearly the same for every noise, "
            "and hardly ever passes for real."
        )
        return Verdict("supports", sentence, numbers, _midst(jumps))
    if len(inside) == len(found):
        return Verdict(
            "refutes", "One jump gives the average, but here the average passes for real.", numbers
        )
    if outside:
        rest = (
            f"passes for real on {codes(inside)}"
            if inside
            else "elsewhere it is open whether it does"
        )
        sentence = (
            "One jump gives the average, which does not pass for real on "
            f"{codes(outside)}, and {rest}."
        )
        return Verdict("refines", sentence, numbers, _midst(jumps))
    return Verdict(
        "inconclusive",
        "One jump gives the average, and these samples are "
        "too few to say whether it passes for real.",
        numbers,
    )


def _midst(jumps: Mapping[str, tuple[JumpResult, JumpResult]]) -> str:
    """Return the surprise that these jumps are near to more real samples than real samples are."""
    for name, (jump, _) in jumps.items():
        if jump.near > CROWDED * jump.usual:
            return (
                f"An average need not be far from all images. On <code>{name}</code> it is among "
                f"the nearest neighbours of {jump.near:,.0f} real images, and the usual real image "
                f"of {jump.usual:.0f}. The average is too typical to be one of them."
            )
    return ""


def _numbers(name: str, jump: JumpResult, best: JumpResult) -> str:
    return (
        f"<code>{name}</code>: one jump keeps {percent(jump.spread)} of the data’s "
        f"variance. {percent(jump.among)} of the jumps pass for "
        f"real, of the samples of {best.steps} steps {percent(best.among)}, and of unseen "
        f"real ones {jump.unseen:.0%}. Each lies in the "
        f"neighbourhoods of {jump.near:,.0f}, {best.near:,.0f} and {jump.usual:,.0f} real "
        "ones (medians)."
    )


def _table(found: Mapping[str, Sequence[JumpResult]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": name,
            "steps": row.steps,
            "variance, % of the data’s": brackets(row.spread, 100),
            "pass for real, %": brackets(row.among, 100),
            "neighbourhoods": f"{row.near:,.0f}",
            "FID proxy": brackets(row.to_data),
            "distance to converged": brackets(row.to_converged),
        }
        for name, rows in found.items()
        for row in rows
    )


ROW = Row(
    number=1,
    question="What does the prediction look like?",
    claim="The prediction is the mean of all clean images that could have led here, and "
    "a mean of images is not an image.",
    measure=measure,
    answer=answer,
)
