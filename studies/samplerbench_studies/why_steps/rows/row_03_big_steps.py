"""Row 3: what a big step loses, exactly: the staircase and the MMSE curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..figures import big_steps as figures
from ..measuring.big_steps import OPTIMAL, BigStepsResult, Losses, measure
from ..measuring.row import Answer, Kind, Row, Verdict
from ..statistics.single_steps import Transition
from .wording import INTERVALS, between, brackets, mark, note, percent

NEGLIGIBLE, MOSTLY, LOST = 0.01, 0.5, 1.0
"""Shares of a big step's loss that its shape may have to be called nothing, or most.

Nats below which a big step loses nothing.
"""


def answer(found: BigStepsResult) -> Answer:
    """Staircases, losses against steps, and single steps taken apart."""
    verdict, details = judge(found.single, found.losses), figures.DETAILS + note(found.flags)
    single = (figures.single_steps(found.single),)
    table = _table(found.losses, mark(found.flags))
    return Answer(
        figures.staircases(found.curve),
        table,
        verdict,
        details,
        (figures.against_steps(found.losses),),
        single,
    )


def judge(
    single: Mapping[str, Sequence[Transition]], found: Mapping[str, Sequence[Losses]]
) -> Verdict:
    """By what a big step loses, and how much of that is its shape, which is what the claim blames.

    Args:
        single: steps of rising size, by model.
        found: what grids lose, by name; the first and the optimal one are told.
    """
    shares = {name: steps[-1].share for name, steps in single.items()}
    lines = [
        f"<code>{name}</code>: {_of(steps[0])}, {_of(steps[-1])}, {percent(shares[name])} "
        "of it by shape."
        for name, steps in single.items()
    ]
    numbers = (*lines, *_grids(found), INTERVALS)

    def verdict(kind: Kind, text: str) -> Verdict:
        return Verdict(kind, text, numbers, _surprise(found))

    if all(steps[-1].total.high < LOST for steps in single.values()):
        return verdict("refutes", "Even the big step loses next to nothing.")
    if all(share.high < NEGLIGIBLE for share in shares.values()):
        return verdict(
            "refutes",
            "Going back is a Gaussian step at every size, so only the width that the sampler "
            "assumes is wrong.",
        )
    if not all(steps[0].total.high < 0.2 * steps[-1].total.low for steps in single.values()):
        return verdict(
            "inconclusive", "These samples are too few to tell small steps from big ones."
        )
    if all(share.low > MOSTLY for share in shares.values()):
        return verdict(
            "supports",
            "Big steps lose much more than small ones, and most "
            "of it because the truth is not a bell curve.",
        )
    if all(share.high < MOSTLY for share in shares.values()):
        text = (
            "Big steps do lose, but mostly because the sampler draws from too narrow a bell curve, "
            "and only a little because the truth is not a bell curve."
        )
        return verdict("refines", text)
    return verdict(
        "inconclusive",
        "Big steps lose, but it is open whether they assume a wrong shape or a wrong width.",
    )


def _of(step: Transition) -> str:
    return f"a step between levels of ratio {step.ratio:g} loses {between(step.total)} nats"


def _pair(found: Mapping[str, Sequence[Losses]]) -> tuple[Losses, Losses]:
    """The usual and the optimal grid, of a middling number of steps."""
    first, best = next(iter(found.values())), found[OPTIMAL]
    return first[len(first) // 2], best[len(first) // 2]


def _grids(found: Mapping[str, Sequence[Losses]]) -> list[str]:
    grid, first = next(iter(found.items()))
    usual, best = _pair(found)
    lines = [
        f"All steps of {grid} together lose {between(first[0].nats)} nats in one step, "
        f"{between(usual.nats)} in {usual.steps}, "
        f"{between(first[-1].nats)} in {first[-1].steps}.",
        f"The grid that loses least loses {between(best.nats)} in {best.steps}.",
    ]
    if usual.quality and best.quality:
        lines.append(
            f"FID proxy in {best.steps} steps: {brackets(best.quality)} on that "
            f"grid, {brackets(usual.quality)} on {grid}."
        )
    return lines


def _surprise(found: Mapping[str, Sequence[Losses]]) -> str:
    """What fewer nats do to the samples, where that is not what one would think."""
    usual, best = _pair(found)
    if usual.quality is None or best.quality is None or not best.quality.low > usual.quality.high:
        return ""
    return (
        "The grid that loses the fewest nats makes the <em>worse</em> images: in "
        f"{best.steps} steps it loses "
        f"{usual.nats.value / best.nats.value:.0f} "
        f"times fewer, and its FID proxy is {best.quality.value:.1f} against "
        f"{usual.quality.value:.1f} (smaller is better). Nats count every detail alike, also "
        "the finest grain, which the eye does not see."
    )


def _table(found: Mapping[str, Sequence[Losses]], mark: str) -> pd.DataFrame:
    columns = {"steps": [one.steps for one in next(iter(found.values()))]}
    frame = pd.DataFrame(columns)
    for grid, rows in found.items():
        frame[f"{grid}, nats"] = [f"{one.nats.value:,.0f}" for one in rows]
        frame[f"{grid}, FID proxy{mark}"] = [
            "–" if one.quality is None else f"{round(one.quality.value, 1) + 0.0:.1f}"
            for one in rows
        ]
    return frame


ROW = Row(
    number=3,
    question="What exactly is lost by a big step?",
    claim=(
        "Going back from a noisy state, the distribution of the less noisy one is close "
        "to an isotropic Gaussian for small steps only; "
        "big steps break this assumption, and the sampler with it."
    ),
    measure=measure,
    answer=answer,
)
