"""Row 10: the many steps, the equal shares and the fixed first rate of the earliest diffusion models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ..figures import first_schedule as figures
from ..measuring.first_schedule import (
    EARLY,
    MIDDLE,
    OTHER_SIGNALS,
    TODAY,
    Binary,
    FirstScheduleResult,
    measure,
)
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, half, mark, note

NEGLIGIBLE = 0.01
"""Bits a pixel, or a distance over the variance of the features, below which a difference is none."""
COLLAPSED = 0.5
"""A bound that falls by more than this share of what an endless fall would has no lowest point."""


def answer(found: FirstScheduleResult) -> Answer:
    """The schedules, binary pictures against steps, and the bound against the first rate."""
    flags = (*found.binary.flags, *found.flags)
    return Answer(
        figures.schedules(found),
        _table(found),
        judge(found),
        figures.DETAILS + note(flags),
        (
            figures.pictures(found.binary),
            figures.binary(found.counts, found.binary),
            figures.first_rate(found.first),
        ),
    )


def judge(found: FirstScheduleResult) -> Verdict:
    """Judge the three parts of the claim: that many steps pay, that equal shares are a good choice,
    and that a first rate that is learned would overfit.

    Equal shares are judged on binary pictures; and on Gaussian noise, where the paper never used
    them, by all models and samplers in :data:`MIDDLE` steps, for they disagree.
    """
    pays = _all(
        _sign(found.binary.fewer_bits, NEGLIGIBLE),
        _sign(found.binary.nearer, NEGLIGIBLE * found.binary.variance),
    )
    worse = {
        _sign(one.gap, NEGLIGIBLE * one.variance) for one in found.quality if one.steps == MIDDLE
    }
    overfits = _all(
        _sign(found.first.gain, COLLAPSED), _sign(found.first.best, 1.5 * found.first.betas[0])
    )
    numbers = (*_numbers(found), INTERVALS)
    surprise = _surprise(found.counts, found.nats)
    if pays is False:
        return Verdict(
            "refutes",
            "One step is as good as many here, so that nothing has to be shared out.",
            numbers,
        )
    mixed = {True, False} <= worse
    behind = _sign(_over(found.binary.other, -1), NEGLIGIBLE)
    if None in (pays, overfits, behind) or (None in worse and not mixed):
        return Verdict(
            "inconclusive", "These samples are too few to tell steps, or schedules, apart.", numbers
        )
    first = f"a learned first step would {'' if overfits else 'not '}overfit"
    own = "worse than" if behind else "as well as"
    moved = (
        "and for Gaussian noise it depends"
        if mixed
        else "but worse for Gaussian noise"
        if worse == {True}
        else "and well for Gaussian noise too"
    )
    sentence = (
        f"Many steps pay and {first}; erasing equal shares does {own} a cosine schedule on black "
        f"and white pictures, {moved}."
    )
    good = overfits and not behind and worse == {False}
    return Verdict("supports" if good else "refines", sentence, numbers, surprise)


def _sign(one: Interval, least: float) -> bool | None:
    """Whether it is surely above ``least``, surely not, or neither."""
    return True if one.low > least else False if one.high < least else None


def _all(first: bool | None, second: bool | None) -> bool | None:
    """Whether both are; not if one surely is not."""
    if first is False or second is False:
        return False
    return None if None in (first, second) else True


def _numbers(found: FirstScheduleResult) -> Iterator[str]:
    binary, counts = found.binary, found.counts
    yield (
        f"Black and white pictures: {between(binary.bits[0])} bits a pixel at most in one step, "
        f"{between(binary.bits[-1])} in {counts[-1]:,}; the distance of the samples to the data "
        f"is {between(_over(binary.distances[0], binary.variance))} and "
        f"{between(_over(binary.distances[-1], binary.variance))} times the variance of the data’s "
        "features."
    )
    yield (
        f"On them a cosine schedule takes {between(binary.other)} bits a pixel more than equal "
        f"shares in {OTHER_SIGNALS} steps."
    )
    for steps in (2, MIDDLE, 50, 1000):
        if steps in counts:
            lost = {grid: line[counts.index(steps)] for grid, line in found.nats.items()}
            told = ", ".join(f"{between(one)} on {grid}" for grid, one in lost.items())
            yield f"<code>fashion-mppca</code>, {steps:,} steps lose {told} (nats)."
    for one in found.quality:
        yield (
            f"<code>{one.model}</code>, <code>{one.sampler}</code>, {one.steps} steps: the FID "
            f"proxy{mark(found.flags)} is {_short(one.distances)}; {EARLY} are farther than {TODAY} by "
            f"{between(one.gap)}."
        )
    first = found.first
    yield (
        f"β₁ on <code>digits-cloud</code>: the bound of known images falls by "
        f"{between(_over(first.gain, 2 / first.dim))} nats for every factor e at the smallest β₁ "
        f"({first.dim / 2:g} is a fall without end); for unseen ones the best β₁ is "
        f"{between(first.best)}, where it is "
        f"{between(min(first.unseen))} nats an image, and at β₁ = {first.betas[0]:g} it is "
        f"{between(first.unseen[0])}."
    )


def _short(distances: Mapping[str, Interval]) -> str:
    return ", ".join(f"{half(one)} on {grid}" for grid, one in distances.items())


def _over(one: Interval, scale: float) -> Interval:
    value, low, high = (end / scale for end in one)
    return Interval(value, min(low, high), max(low, high))


def _surprise(counts: Sequence[int], nats: Mapping[str, Sequence[Interval]]) -> str:
    """Where equal shares lose less than today's schedule in few steps, and more in many."""
    if 2 not in counts:
        return ""
    two = counts.index(2)
    few, many = ((nats[EARLY][place], nats[TODAY][place]) for place in (two, -1))
    if not (few[0].high < few[1].low and many[0].low > many[1].high):
        return ""
    return (
        "The paper used equal shares for black and white pictures only. With Gaussian noise they would "
        f"have lost {few[1].value / few[0].value:.1f} times <em>fewer</em> nats than <code>{TODAY}</code> in "
        f"two steps, and {many[0].value / many[1].value:.1f} times more in {counts[-1]:,}."
    )


def _table(found: FirstScheduleResult) -> pd.DataFrame:
    binary: Binary = found.binary
    columns: dict[str, object] = {
        "steps": [f"{steps:,}" for steps in found.counts],
        "black and white: bits a pixel": [half(one) for one in binary.bits],
        f"black and white: distance{mark(binary.flags)}": [
            half(_over(one, binary.variance)) for one in binary.distances
        ],
    }
    for grid, line in found.nats.items():
        columns[f"{grid}, nats"] = [f"{one.value:,.0f}" for one in line]
    return pd.DataFrame(columns)


ROW = Row(
    number=10,
    question="Where did the many steps come from?",
    claim=(
        "The earliest diffusion models (arXiv:1503.03585) took many steps, each of which erases "
        "the same share 1/T of the signal, and kept the first one from being learned, against "
        "overfitting."
    ),
    measure=measure,
    answer=answer,
)
