"""Row 7: is it a matter of stability, and does a model of one step memorise?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ..figures.memorising import DETAILS, draw, pictures
from ..figures.stability import draw_even, draw_sampler
from ..measuring.memorising import MemorisingResult, measure
from ..measuring.one_shot import OneShotResult
from ..measuring.row import Answer, Row, Verdict
from ..measuring.stability import BIG, StabilityResult
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, half, mark, note

HALF = 0.5
"""An error below this share of the data's variance is nearer to the image than to the mean."""
BLOWN = 1.5
"""Samples of surely more than this times the data's variance are blown up."""
KINDS = {"independent": "drawn at random", "coupled": "on one path"}


def answer(found: MemorisingResult) -> Answer:
    """Errors of the networks, growth rates of the sampler, and a grid of equal steps."""
    nets, flags = found.networks, [*found.networks.flags, *found.even.flags]
    table = pd.DataFrame(
        [
            {
                "noise and image": KINDS[coupling],
                "pairs": f"{one.pairs:,}",
                "error on these pairs": between(one.known),
                "error on others": between(one.fresh),
                "variance from other noises": between(one.spread),
                f"their FID proxy{mark(flags)}": half(one.distance),
            }
            for coupling in KINDS
            for one in nets.networks[coupling]
        ]
    )
    return Answer(
        draw(nets),
        table,
        judge(found),
        DETAILS + note(flags),
        images=(pictures(nets),),
        more=(draw_sampler(found.sampler), draw_even(found.sampler, found.even)),
        keys=2,
    )


def judge(found: MemorisingResult) -> Verdict:
    """What becomes of the claim."""
    random, coupled = (found.networks.networks[coupling] for coupling in KINDS)
    numbers = (
        *(told(KINDS[c], found.networks.networks[c]) for c in KINDS),
        f"What fresh noise gives has an FID proxy of {between(coupled[-1].distance)} with "
        f"{coupled[-1].pairs:,} pairs on paths and {between(random[-1].distance)} with random "
        f"ones; the mean alone has {found.networks.mean:.3g}, and the ends of the paths "
        f"{between(found.networks.paths)}.",
        *sampler_numbers(found.sampler),
        *even_numbers(found),
        INTERVALS,
    )
    surprise = unstable(found.sampler)
    few, many = random[0], coupled[-1]
    if few.known.low > HALF:
        return Verdict(
            "refutes",
            "A network of one step does not even learn its own few pairs by heart.",
            numbers,
            surprise,
        )
    if few.known.high < HALF < few.fresh.low:
        if many.fresh.low > HALF:
            return Verdict(
                "supports",
                "A network of one step knows its own pairs by heart and makes nothing of other "
                "noises, however noise and image were paired.",
                numbers,
                surprise,
            )
        if many.fresh.high < HALF:
            steps = (
                "unstable" if blown(found.sampler.spread["euler"]) else "inaccurate, not unstable"
            )
            others = "averages" if random[-1].known.low > HALF else "memorises"
            return Verdict(
                "refines",
                "A one-step network learns few pairs by heart; of many it learns those that "
                f"sampling makes and {others} random ones; big steps of a plain sampler are {steps}.",
                numbers,
                surprise,
            )
    return Verdict(
        "inconclusive",
        "These networks neither memorise their pairs clearly nor learn the rule behind them.",
        numbers,
        surprise,
    )


def told(kind: str, nets: Sequence[OneShotResult]) -> str:
    """Errors with the fewest and the most pairs, as HTML."""
    parts = [
        f"{between(one.known)} on {one.pairs:,} pairs that the network was fitted on and "
        f"{between(one.fresh)} on others"
        for one in (nets[0], nets[-1])
    ]
    return (
        f"Noise and image {kind}: squared error, over the variance of the data, "
        f"{parts[0]}; {parts[1]} (the mean has 1)."
    )


def blown(spread: Sequence[Interval]) -> list[int]:
    """The places at which samples surely have more than the variance of the data."""
    return [place for place, one in enumerate(spread) if one.low > BLOWN]


def unstable(found: StabilityResult) -> str:
    """What surprises: a better sampler that blows up, as HTML; empty for none."""
    place = found.counts.index(BIG)
    if place not in blown(found.spread["heun"]) or blown(found.spread["euler"]):
        return ""
    even, usual = zip(*(grids.values() for grids in found.big.values()), strict=True)
    told = ", ".join(
        f"{one.value:.2g} on <code>{name}</code>"
        for name, one in zip(found.big, usual, strict=True)
    )
    return (
        f"Stability does matter to a better sampler on some grids. With {BIG} steps of equal length in "
        f"log σ, the samples of <code>heun</code> have {min(one.value for one in even):.0f} to "
        f"{max(one.value for one in even):.0f} times the variance of the data, on {len(even)} models. "
        f"Euler’s method keeps {100 * found.spread['euler'][place].value:.0f} % of it. On the grid "
        f"<code>karras</code> the factor depends on the data: {told}."
    )


def sampler_numbers(found: StabilityResult) -> tuple[str, ...]:
    """Growth rates, and what becomes of samples of few steps, as HTML."""
    least = min(min(one.least) for one in found.rates.values())
    most = max(max(one.most) for one in found.rates.values())
    limit = 2 / -least if least < 0 else math.inf
    failing: Mapping[str, list[int]] = {
        name: [found.counts[place] for place in blown(line)] for name, line in found.spread.items()
    }
    counts = "; ".join(
        f"{name}: {', '.join(map(str, places)) or 'none'}" for name, places in failing.items()
    )
    return (
        "Along the way from σ = 80 to 0 the eigenvalues of Cov[x0|x]/σ² − 1 lie between "
        f"{least:.3g} and {most:.3g} on {len(found.rates)} exact models. In log σ, Euler’s method "
        f"is stable up to steps of {limit:.3g}, by a factor of {math.exp(limit):.3g} in σ; in σ "
        "itself there is no limit.",
        f"Numbers of steps after which samples have more than {BLOWN} times the variance of the "
        f"data, of those tried ({', '.join(map(str, found.counts))}): {counts}.",
    )


def even_numbers(found: MemorisingResult) -> list[str]:
    """Equal steps against the usual ones, as HTML."""
    errors = "; ".join(
        f"<code>{one.model}</code>, <code>{one.sampler}</code> with {one.steps} steps "
        f"{between(one.ratio)}"
        for one in found.even.rows
    )
    quality = "; ".join(
        f"<code>{one.sampler}</code> with {one.steps} steps {between(one.change)} (from "
        f"{one.distance.value:.3g})"
        for one in found.even.rows
        if one.change and one.distance
    )
    lines = [f"Error on <code>equal_error</code> over that on <code>karras</code>: {errors}."]
    if quality:
        lines.append(
            "Change of the Fréchet distance, of half as many samples in half as many axes: "
            f"{quality}."
        )
    return lines


ROW = Row(
    number=7,
    question="Is it a matter of stability?",
    claim="With one big step the noise acts as a key and the image as the value, so the model "
    "memorises.",
    measure=measure,
    answer=answer,
)
