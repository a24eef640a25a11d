"""Row 3: what a big step loses, exactly: the staircase and the MMSE curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from . import big_steps_figures as figures
from .base import Answer, Kind, Row, Verdict
from .big_steps import OPTIMAL, Losses, Measured, measure
from .flagged import mark, note
from .single_steps import Transition
from .wording import INTERVALS, listed, percent

NEGLIGIBLE, MOSTLY, LOST = 0.01, 0.5, 1.0
"""Shares of a big step's loss that its shape may have to be called nothing, or most; nats below which a big step loses nothing."""


def tell(found: Measured) -> Answer:
    """Staircases, losses against steps, and single steps taken apart."""
    others = (figures.against_steps(found.losses), figures.single_steps(found.single))
    verdict, details = judge(found.single, found.losses), figures.DETAILS + note(found.flags)
    return Answer(figures.staircases(found.curve), _table(found.losses, mark(found.flags)), verdict, details, others)


def judge(single: Mapping[str, Sequence[Transition]], found: Mapping[str, Sequence[Losses]]) -> Verdict:
    """By what a big step loses, and how much of that is its shape, which is what the claim blames.

    Args:
        single: steps of rising size, by model.
        found: what grids lose, by name; the first and the optimal one are told.
    """
    shares = {name: steps[-1].share for name, steps in single.items()}
    lines = [
        f"<code>{name}</code>: {_of(steps[0])}, {_of(steps[-1])}, {percent(shares[name])} of it by shape." for name, steps in single.items()
    ]

    def verdict(kind: Kind, text: str) -> Verdict:
        return Verdict(kind, listed(f"{text}.", [*lines, f"{_grids(found)} {INTERVALS}"]))

    if all(steps[-1].total.high < LOST for steps in single.values()):
        return verdict("refutes", "Even the big step loses next to nothing")
    if all(share.high < NEGLIGIBLE for share in shares.values()):
        return verdict("refutes", "The reverse step is a Gaussian at every size, so that nothing breaks but the assumed covariance")
    if not all(steps[0].total.high < 0.2 * steps[-1].total.low for steps in single.values()):
        return verdict("inconclusive", "Small and big steps are not told apart with so few samples")
    if all(share.low > MOSTLY for share in shares.values()):
        return verdict("supports", "Big steps lose much more than small ones, and most of it because they are no Gaussians")
    if all(share.high < MOSTLY for share in shares.values()):
        text = "Big steps do lose, but mostly by assuming the wrong covariance; that the true step is not Gaussian is the smaller part"
        return verdict("refines", text)
    return verdict("inconclusive", "Big steps lose; whether by shape or by covariance differs or is open")


def _of(step: Transition) -> str:
    total = step.total
    return f"a step of ratio {step.ratio:g} loses {total.value:.3g} [{total.low:.3g}, {total.high:.3g}] nats"


def _grids(found: Mapping[str, Sequence[Losses]]) -> str:
    grid = next(iter(found))
    first, best = found[grid], found[OPTIMAL]
    middle = len(first) // 2
    worst = _compared(first[middle], best[middle])
    return (
        f"All steps of {grid} together: {_nats(first[0])} nats in one step, {_nats(first[middle])} in {first[middle].steps}, "
        f"{_nats(first[-1])} in {first[-1].steps}; on the grid that loses least {_nats(best[middle])} in {best[middle].steps}.{worst}"
    )


def _compared(usual: Losses, best: Losses) -> str:
    """Whether fewer nats are better samples."""
    if usual.quality is None or best.quality is None:
        return ""
    a, b = usual.quality, best.quality
    told = "worse" if b.low > a.high else "better" if b.high < a.low else "not measurably different"
    values = " against ".join(f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in (b, a))
    return f" Its samples are {told} by FID proxy: {values}."


def _nats(one: Losses) -> str:
    return f"{one.nats.value:,.0f} [{one.nats.low:,.0f}, {one.nats.high:,.0f}]"


def _table(found: Mapping[str, Sequence[Losses]], mark: str) -> pd.DataFrame:
    columns = {"steps": [one.steps for one in next(iter(found.values()))]}
    frame = pd.DataFrame(columns)
    for grid, rows in found.items():
        frame[f"{grid}, nats"] = [f"{one.nats.value:,.0f}" for one in rows]
        frame[f"{grid}, FID proxy{mark}"] = ["–" if one.quality is None else f"{round(one.quality.value, 1) + 0.0:.1f}" for one in rows]
    return frame


ROW = Row(
    number=3,
    question="What exactly is lost by a big step?",
    claim=(
        "Going back from a noisy state, the distribution of the less noisy one is close to an isotropic Gaussian for small steps only; "
        "big steps break this assumption, and the sampler with it."
    ),
    measure=measure,
    tell=tell,
)
