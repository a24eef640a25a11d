"""Row 14: are the same steps cheaper in a latent space?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ..figures.latent_space import DETAILS, courses, draw, milliseconds, pictures, training
from ..measuring.latent_space import Course, LatentSpaceResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval, bootstrap
from .wording import INTERVALS, between, brackets, half, mark, note

STEPS = 12
"""Steps at which prices are compared, the decoder included."""
NO_LESS, SAME = 1.1, 1.25
"""Ratios below the first are no saving; up to the second, numbers of steps are about the same."""
WORSE = 0.02
"""A distance that is surely larger by more than this share of the features' variance is worse."""


def answer(found: LatentSpaceResult) -> Answer:
    """Errors, distances and prices against steps."""
    columns: dict[str, object] = {"steps": found.counts}
    for name, course in courses(found).items():
        columns[f"FID proxy, {name}{mark(found.flags)}"] = [half(one) for one in course.distances]
        columns[f"distance to its end, {name}"] = [brackets(one) for one in course.errors]
        columns[f"milliseconds, {name}"] = [
            f"{milliseconds(course.price, steps):.2g}" for steps in found.counts
        ]
    return Answer(
        draw(found),
        pd.DataFrame(columns),
        judge(found),
        DETAILS + note(found.flags),
        pictures(found),
    )


def judge(found: LatentSpaceResult) -> Verdict:
    """Refutes where a step is no cheaper; supports where it is, and surely no more are needed for
    images that are no worse; refines where the number differs for sure, or images are worse.

    Numbers of steps and distances are compared over the trainings of each side.
    """
    operations = ratio(found, lambda course: [work(course, STEPS)]).value
    times = ratio(found, lambda course: rounds(course, STEPS))
    numbers = _numbers(found, operations, times)
    if operations < NO_LESS:
        return Verdict("refutes", "Latents make a step no cheaper here.", numbers)
    if not times.low > 1:
        return Verdict(
            "inconclusive",
            "A step in latents has less to compute, but here it is not surely faster.",
            numbers,
        )
    cheaper = f"On compressed images (latents) an image takes {operations:.1f} times less computing"
    alike = found.more.low > 1 / SAME and found.more.high < SAME
    if not alike and (found.more.high < 1 or found.more.low > 1):
        change, other = abs(found.more.value - 1), "fewer" if found.more.high < 1 else "more"
        sentence = (
            f"In latents an image of as many steps takes {operations:.1f} times less computing, and "
            f"{100 * change:.0f} % {other} steps are needed."
        )
        return Verdict("refines", sentence, numbers, surprise(found))
    if not found.more.high < SAME:
        sentence = f"{cheaper}; whether it takes more steps, these trainings are too few to say."
        return Verdict("inconclusive", sentence, numbers)
    if found.gap.low > WORSE * found.variance:
        sentence = f"{cheaper} and takes no more steps, but it is worse."
        return Verdict("refines", sentence, numbers, surprise(found))
    steps = (
        "takes about as many steps: it is their price that changes"
        if alike
        else "no more steps; too few trainings to say whether it takes fewer"
    )
    return Verdict("supports", f"{cheaper}, and {steps}.", numbers, surprise(found))


def surprise(found: LatentSpaceResult) -> str:
    """That images are better in latents, for all that the autoencoder loses; empty if they are not."""
    pixels, latents = (np.mean(ends(side)) for side in (found.pixels, found.latents))
    if not found.gap.high < 0:
        return ""
    return (
        f"The images from latents are also better: FID proxy {latents:.1f} against {pixels:.1f}. These are "
        f"means of {len(found.pixels)} trainings, each about as long. The autoencoder’s training is not counted."
    )


def ends(side: Sequence[Course]) -> list[float]:
    """Distance of each training after the most steps."""
    return [course.distances[-1].value for course in side]


def work(course: Course, steps: int) -> float:
    """Multiply-adds of an image."""
    return steps * course.price.evaluation + course.price.decoding


def rounds(course: Course, steps: int) -> list[float]:
    """Milliseconds of an image in each round."""
    price = course.price
    return [
        steps * (network + solver) + decoder
        for network, solver, decoder in zip(price.network, price.solver, price.decoder, strict=True)
    ]


def ratio(found: LatentSpaceResult, price: Callable[[Course], list[float]]) -> Interval:
    """How many times a price on latents is in that on pixels: of the medians of rounds."""
    pixels, latents = (np.array(price(course)) for course in courses(found).values())
    return bootstrap(
        lambda rows: float(np.median(pixels[rows]) / np.median(latents[rows])), len(pixels)
    )


def _numbers(found: LatentSpaceResult, operations: float, times: Interval) -> tuple[str, ...]:
    few, many = (
        ", ".join(_steps(course.needed) for course in side)
        for side in (found.pixels, found.latents)
    )
    pixels, on_latents = (
        ", ".join(f"{one:.3g}" for one in ends(side)) for side in (found.pixels, found.latents)
    )
    lines = [
        f"In {STEPS} steps an image costs {operations:.1f} times fewer multiply-adds in latents, and "
        f"{between(times)} times less time, the decoder included. The interval of the time is over "
        "rounds of this run; another run, on a busier machine, may be farther off.",
        *(f"{name.capitalize()}: {_parts(course)}." for name, course in courses(found).items()),
        f"Steps until an image is near its end, of each training: {few} on pixels, {many} on "
        f"latents, {_times(found.more)}.",
        f"After {found.counts[-1]} steps the FID proxy of each training is {pixels} on pixels and "
        f"{on_latents} on latents, a difference of {between(found.gap)}; the features of the data "
        f"have a variance of {found.variance:.3g}.",
    ]
    if found.lost is not None:
        lines.append(
            f"Real images that go through the autoencoder and back are {between(found.lost)} farther "
            "from the data, which no step can mend."
        )
    return (*lines, INTERVALS)


def _parts(course: Course) -> str:
    network, solver, decoder = (
        1000 * float(np.median(one))
        for one in (course.price.network, course.price.solver, course.price.decoder)
    )
    return (
        f"{course.price.evaluation / 1e6:.2g} million multiply-adds an evaluation; {network:.0f} "
        f"microseconds of the network and {solver:.0f} of the sampler a step, {decoder:.0f} of the "
        f"decoder an image; trained for {training(course.price)}"
    )


def _steps(number: float) -> str:
    return "never" if math.isnan(number) else f"{number:.1f}"


def _times(more: Interval) -> str:
    return (
        "which cannot be compared" if math.isnan(more.value) else f"{between(more)} times as many"
    )


ROW = Row(
    number=14,
    question="Why in a latent space?",
    claim="Latents instead of pixels make the same steps cheaper.",
    measure=measure,
    answer=answer,
)
