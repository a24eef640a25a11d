"""Row 16: how far around a pixel must the denoiser look? Receptive field by noise level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..figures.locality import DETAILS, draw, maps
from ..measuring.locality import HIGH, LEVELS, LOW, LocalityResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, brackets

WIDER = 1.25
"""Ratio of radii above which the radius grows."""


def answer(found: LocalityResult) -> Answer:
    """Return the answer: radii against the noise level, and maps of the sensitivity."""
    columns = {
        f"radius, {kind} (pixels)": [brackets(one) for one in line]
        for kind, line in found.radii.items()
    }
    verdict = judge(found.growth, found.radii)
    return Answer(
        draw(LEVELS, found.radii),
        pd.DataFrame({"σ": LEVELS, **columns}),
        verdict,
        DETAILS,
        (maps(LEVELS, found.pictures),),
    )


def judge(growth: Mapping[str, Interval], radii: Mapping[str, Sequence[Interval]]) -> Verdict:
    """Return the verdict on the claim.

    Args:
        growth: radius at the high level over the radius at the low one, by denoiser; NaN for a
            denoiser that depends on the pixel alone.
        radii: radii at all levels, by denoiser; the sentence mentions significant differences.
    """
    ends = {
        name: [line[LEVELS.index(sigma)] for sigma in (LOW, HIGH)] for name, line in radii.items()
    }
    numbers = (
        *(
            f"{name.capitalize()}: from {brackets(ends[name][0])} pixels at σ = {LOW:g} "
            f"to {brackets(ends[name][1])} at σ = "
            f"{HIGH:g}, a factor "
            f"of {brackets(one)}."
            for name, one in growth.items()
        ),
        INTERVALS,
    )
    grow = [name for name, one in growth.items() if one.low > WIDER]
    flat = [name for name, one in growth.items() if not one.high > WIDER]
    if len(grow) == len(growth):
        low, high = (
            sum(pair[place].value for pair in ends.values()) / len(ends) for place in (0, 1)
        )
        sentence = (
            "The more noise there is, the farther around a pixel the denoiser looks: "
            f"{low:.0f} pixel{'s' * (round(low) != 1)} "
            f"with little, {high:.0f} with much."
        )
        return Verdict("supports", sentence, numbers)
    if len(flat) == len(growth):
        return Verdict(
            "refutes",
            "The denoiser looks no farther around a pixel when there is more noise.",
            numbers,
        )
    if grow:
        return Verdict(
            "refines",
            "The more noise, the farther around a pixel the denoiser looks, "
            f"but only the {' and the '.join(grow)} one.",
            numbers,
        )
    return Verdict(
        "inconclusive",
        "These samples are too few to say whether the "
        "denoiser looks farther when there is more noise.",
        numbers,
    )


ROW = Row(
    number=16,
    question="How far must the denoiser look?",
    claim="At low signal the network must average over large areas, and later over small ones.",
    measure=measure,
    answer=answer,
)
