"""Row 16: how far around a pixel must the denoiser look? The effective receptive field against the noise level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from .base import Answer, Row, Verdict
from .intervals import Interval
from .locality import HIGH, LEVELS, LOW, Measured, measure
from .locality_figures import DETAILS, draw, maps
from .wording import INTERVALS, brackets

WIDER = 1.25
"""A ratio of radii above this is growth."""


def tell(found: Measured) -> Answer:
    """Radii against the noise level, and what they are radii of."""
    columns = {f"radius, {kind} (pixels)": [brackets(one) for one in line] for kind, line in found.radii.items()}
    verdict = judge(found.growth, found.radii)
    return Answer(draw(LEVELS, found.radii), pd.DataFrame({"σ": LEVELS, **columns}), verdict, DETAILS, (maps(LEVELS, found.pictures),))


def judge(growth: Mapping[str, Interval], radii: Mapping[str, Sequence[Interval]]) -> Verdict:
    """What becomes of the claim.

    Args:
        growth: by denoiser, its radius at the high level over that at the low one; NaN where it looks at the pixel alone.
        radii: by denoiser, at all levels; where several differ in their intervals the sentence says so.
    """
    ends = {name: [line[LEVELS.index(sigma)].value for sigma in (LOW, HIGH)] for name, line in radii.items()}
    numbers = "; ".join(
        f"{name}: from {ends[name][0]:.1f} pixels at σ = {LOW:g} to {ends[name][1]:.1f} at σ = {HIGH:g}, a factor of {one.value:.1f} "
        f"[{one.low:.1f}, {one.high:.1f}]"
        for name, one in growth.items()
    ).capitalize()
    grow = [name for name, one in growth.items() if one.low > WIDER]
    flat = [name for name, one in growth.items() if not one.high > WIDER]
    if len(grow) == len(growth):
        return Verdict("supports", f"The field of the centre pixel grows with the noise. {numbers}. {INTERVALS}")
    if len(flat) == len(growth):
        return Verdict("refutes", f"The field of the centre pixel does not grow with the noise. {numbers}. {INTERVALS}")
    if grow:
        return Verdict("refines", f"The field grows with the noise for {' and '.join(grow)} only. {numbers}. {INTERVALS}")
    return Verdict("inconclusive", f"These samples do not tell. {numbers}. {INTERVALS}")


ROW = Row(
    number=16,
    question="How far must the denoiser look?",
    claim="At low signal the network must average over large areas, and later over small ones.",
    measure=measure,
    tell=tell,
)
