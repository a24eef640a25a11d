"""Row 9: is a denoiser of one noise level enough?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..figures.one_level import DETAILS, called, draw, pictures, totals
from ..measuring.one_level import NATS, SINGLE, Made, OneLevelResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, brackets, half, mark, note, percent

SAME = 0.02
"""Distances that differ by less than this share of the features' variance are the same."""
WORSE = 1.02
"""Squared errors above this ratio are worse."""
RIGHT = 0.5
"""A level whose images are nearer to the data by this factor than those of others is the right one."""


def answer(found: OneLevelResult) -> Answer:
    """Distances and variances against evaluations."""
    shown = {called(name): made for name, made in found.single.items()} | {
        "all levels": found.every
    }
    table = pd.DataFrame(
        {
            "network": name,
            "evaluations": count,
            f"FID proxy{mark(found.flags)}": half(made.distances[place]),
            "variance of the features, % of the data’s": brackets(made.kept[place], 100),
        }
        for name, made in shown.items()
        for place, count in enumerate(found.counts)
    )
    return Answer(
        draw(found),
        table,
        judge(found),
        DETAILS + note(found.flags),
        pictures(found),
        keys=2,
    )


def judge(found: OneLevelResult) -> Verdict:
    """Supports where a network of one level makes images as good as that of all levels; refines
    where it only denoises as well, refutes where it does not even do that.
    """
    name, place = best(found.single)
    gap = behind(found, name, place)
    numbers = _numbers(found, name, place, gap)
    least = SAME * found.variance
    times = found.single[name].distances[place].value / max(least, found.every.distances[-1].value)
    if gap.high < least:
        return Verdict(
            "supports",
            "One level is enough here: denoising again and again gives the data.",
            numbers,
        )
    if not gap.low > least:
        return Verdict(
            "inconclusive", "These samples are too few to tell one level from many.", numbers
        )
    worse = [at for at in found.denoising if at.ratio.low > WORSE]
    if worse:
        return Verdict(
            "refutes",
            "The images of a network of one level are worse, and not even at its own level does it always "
            "denoise as well as one of all levels.",
            numbers,
        )
    sentence = (
        "It removes all noise at once, but the result is an average; repeated at the best of "
        f"{len(SINGLE)} levels, it makes images {times:.1f} times as far from real ones as a network of "
        "all levels."
    )
    return Verdict("refines", sentence, numbers, surprise(found))


def best(single: Mapping[str, Made]) -> tuple[str, int]:
    """The network of one level, and the place of its number of evaluations, whose images are
    nearest to the data.
    """
    return min(
        ((name, place) for name, made in single.items() for place in range(len(made.distances))),
        key=lambda one: single[one[0]].distances[one[1]].value,
    )


def behind(found: OneLevelResult, name: str, place: int) -> Interval:
    """How much farther from the data those are than those of all levels after the most
    evaluations.
    """
    made, every = found.single[name], found.every
    return Interval.normal(
        made.distances[place].value - every.distances[-1].value,
        math.hypot(made.errors[place], every.errors[-1]),
    )


def surprise(found: OneLevelResult) -> str:
    """That one of the levels, and no other, makes images; empty if it is not so."""
    name, place = best(found.single)
    others = {other: made for other, made in found.single.items() if other != name}
    second, where = best(others)
    nearest = found.single[name].distances[place]
    if not nearest.high < RIGHT * others[second].distances[where].low:
        return ""
    equal = evaluations_for(found, nearest.value)
    farther = others[second].distances[where].value / nearest.value
    return (
        f"At the right one of {len(SINGLE)} noise levels, denoising again and again does make images: "
        f"{found.counts[place]} times are as good as {equal:.0f} evaluations of the network of all "
        f"levels. At the other levels images stay {farther:.0f} times as far from the data, or more."
    )


def evaluations_for(found: OneLevelResult, distance: float) -> float:
    """Evaluations after which the images of all levels are this near to the data, on a straight line
    of the logarithms between those that were measured; the most where they never are.
    """
    line = [max(one.value, 1e-9) for one in found.every.distances]
    falling = np.minimum.accumulate(line)
    return float(np.exp(np.interp(-math.log(distance), -np.log(falling), np.log(found.counts))))


def _numbers(found: OneLevelResult, name: str, place: int, gap: Interval) -> tuple[str, ...]:
    most, made = found.counts[-1], found.single[name]
    lines = [
        f"At σ = {at.level:g} the network of this level errs by {between(at.own)} a pixel, that of "
        f"all levels by {between(at.every)}; their squared errors have the ratio {between(at.ratio)}."
        for at in found.denoising
    ]
    lines += [
        f"The best images of one level, of {len(SINGLE)} levels and {len(found.counts)} numbers of "
        "evaluations, by the same distance, which flatters them, are "
        f"those of σ = {SINGLE[name]:g} after {found.counts[place]} "
        f"evaluations: FID proxy {between(made.distances[place])}, {percent(made.kept[place])} of "
        f"the data’s variance. All levels after {most}: {between(found.every.distances[-1])}, "
        f"{percent(found.every.kept[-1])}. The difference is {between(gap)}; the features of the "
        f"data have a variance of {found.variance:.3g}.",
        "On an exact model one level loses "
        + ", ".join(
            f"{between(total)} nats (σ = {level:g})"
            for level, total in zip(SINGLE.values(), totals(found), strict=True)
        )
        + f"; {NATS[0]} step from σ = 80 {between(found.nats.steps[0])}, "
        + f"{NATS[-1]} steps {between(found.nats.steps[-1])}.",
    ]
    return (*lines, INTERVALS)


ROW = Row(
    number=9,
    question="Did denoising autoencoders not do this long ago?",
    claim="A denoising autoencoder removes all noise at once, and has existed for long.",
    measure=measure,
    answer=answer,
)
