"""Row 15: can a network learn to jump?"""

from __future__ import annotations

import math

import pandas as pd

from ..figures.jumping import details, draw, strips
from ..measuring.jumping import JumpingResult, called, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, half, mark, note, percent

AIM = 10.0
"""Ratio of the prediction's distance to a jump's above which the claim is supported."""
WORTH = 2.0
"""Ratio of these distances below which the map has learned nothing."""
VARIED = 0.5
"""Share of the variance inside classes above which a map is a generative model of its own."""
CHEAP = 0.25
"""Share of the teacher's training cost below which the map's cost is a surprise."""
NEGLIGIBLE = 0.01
"""Gap that counts as none, as a share of the variance of the features."""


def answer(found: JumpingResult) -> Answer:
    """Return the answer: the map and the samplers of its teacher."""
    counts, dagger = sorted({*found.counts, *found.jumps}), mark(found.flags)
    lines = {"the map": (found.jumps, found.map)} | {
        f"its teacher, {name}": (found.counts, line) for name, line in found.teacher.items()
    }
    columns: dict[str, object] = {"evaluations": counts}
    for name, (known, line) in lines.items():
        told = {count: half(one) for count, one in zip(known, line, strict=True)}
        columns[f"FID proxy: {name}{dagger}"] = [told.get(count, "–") for count in counts]
    return Answer(
        draw(found),
        pd.DataFrame(columns),
        judge(found),
        details() + note(found.flags),
        images=(strips(found),) if any(map(len, found.pictures.values())) else (),
    )


def judge(found: JumpingResult) -> Verdict:
    """Return the verdict on the claim.

    It compares one jump with one prediction, and the most jumps with ten steps of Euler's method.
    """
    numbers = (
        f"The FID proxy of one prediction is {factor(found.ratio)} times that of one jump; the aim was "
        f"{AIM:g}.",
        f"After {found.jumps[-1]} jumps the FID proxy is {_more(found.at_most)} than after ten steps of "
        f"Euler’s method; the features of the data have a variance of {found.variance:.3g}. After "
        f"{found.jumps[-1]} jumps it is {between(found.map[-1])}; after ten evaluations of "
        + ", ".join(f"<code>{name}</code> {between(one)}" for name, one in _tens(found).items())
        + ".",
        *_against_teacher(found),
        *_paying(found),
        *_own(found),
        "On an exact model, one call of the true map is at a Fréchet distance of "
        f"{between(_positive(found.exact))} to the data, and one prediction at {between(found.exact_prediction)}.",
        INTERVALS,
    )
    one, most = found.ratio, found.at_most
    if one.high < WORTH:
        return Verdict(
            "refutes",
            "What this network gives in one go is as far from images as a prediction is: it has not "
            "learned to jump.",
            numbers,
        )
    if one.low <= WORTH:
        return Verdict(
            "inconclusive", "These samples are too few to tell a jump from a prediction.", numbers
        )
    far, enough = one.low >= AIM, most.high < NEGLIGIBLE * found.variance
    varied = found.likeness[called(1)].variance.low > VARIED
    told = f"one jump has a {_times(one)} times smaller Fréchet distance than a prediction"
    several = f"{found.jumps[-1]} jumps"
    if not varied:
        kind, how, end = "refines", "learn it in part", "but its images are too much alike"
    elif far and enough:
        kind, how, end = "supports", "learn it", f"and {several} do as well as ten plain steps"
    elif far:
        kind, how, end = (
            "refines",
            "learn it in part",
            f"but {several} may do worse than ten plain steps",
        )
    elif enough:
        kind, how, end = (
            "refines",
            "learn it in a few goes",
            f"and {several} do as well as ten plain steps",
        )
    else:
        kind, how, end = (
            "refines",
            "learn it in part",
            f"and {several} may do worse than ten plain steps",
        )
    sentence = f"A network of the same size can {how}: {told}, {end}."
    return Verdict(kind, sentence, numbers, _surprise(found))


def _tens(found: JumpingResult) -> dict[str, Interval]:
    """Return the distances after ten evaluations, by sampler of the teacher."""
    return {name: line[found.counts.index(10)] for name, line in found.teacher.items()}


def _times(one: Interval) -> str:
    return f"{one.value:.2g}" if one.value < 1000 else "over 1,000"


def _positive(one: Interval) -> Interval:
    """Return a bias-corrected distance with its interval, clipped at 0."""
    return one._replace(value=max(one.value, one.low))


def factor(one: Interval) -> str:
    """Return a factor with its interval as text; the upper end may be infinite."""
    if math.isfinite(one.high):
        return between(one)
    return f"at least {one.low:.3g}"


def _more(one: Interval) -> str:
    """Return a difference as text, "lower" or "higher" by its size."""
    if one.value < 0:
        return f"lower by {between(Interval(-one.value, -one.high, -one.low))}"
    return f"higher by {between(one)}"


def _against_teacher(found: JumpingResult) -> list[str]:
    """Return the comparison of the map with its teacher's best sampler at equal evaluations."""
    known = [k for k in found.jumps if k in found.counts]
    return [
        f"After {called(k)} its FID proxy is {_more(one)} than that of its teacher’s "
        "best sampler with as many evaluations."
        for k, one in zip(known, found.behind, strict=True)
    ]


def _paying(found: JumpingResult) -> list[str]:
    """Return the cost of training, and the number of samples after which it pays."""
    if not found.cost:
        return []
    lines = [
        f"Its training cost {found.cost:,.0f} evaluations of the network"
        + (f", that of its teacher {found.teacher_cost:,.0f}." if found.teacher_cost else ".")
    ]
    for k, equal in zip(found.jumps, found.equal, strict=True):
        jumps = called(k)
        if not math.isfinite(equal):
            lines.append(
                f"With {jumps} it is no farther from the data than its teacher’s best sampler with "
                f"{found.counts[-1]} evaluations, as far as these samples tell."
            )
        elif equal > k:
            lines.append(
                f"{jumps} {'is' if k == 1 else 'are'} worth {equal:.1f} evaluations of its teacher’s best sampler: that pays "
                f"after {found.cost / (equal - k):,.0f} samples."
            )
        else:
            lines.append(
                f"With {jumps} it never pays: its teacher’s best sampler is as near to the data "
                f"with {equal:.1f}."
            )
    return lines


def _own(found: JumpingResult) -> list[str]:
    """Return a sentence on whether the map is a generative model of its own."""
    spread = [
        f"{name}: {percent(one.variance)} of the variance inside classes, recall {one.recall:.0%}, "
        f"coverage {one.coverage:.0%}."
        for name, one in found.likeness.items()
    ]
    return [
        *(line[0].upper() + line[1:] for line in spread),
        "From pure noise, one jump is at "
        f"{between(found.missed[0])} times the distance of two images of a class from where its teacher "
        "ends (the average of the class: 0.71).",
        f"{percent(found.common)} of its squared error is the same for all noises of a class; the rest has a "
        f"correlation of {between(found.shrunk)} with what the image has of its own (−1: a jump that does "
        "not dare to leave the average).",
    ]


def _surprise(found: JumpingResult) -> str:
    """Return the surprise that the teacher needs no map, or that the map's training was cheap."""
    last, tens = found.behind[-1], _tens(found)
    best = min(tens, key=lambda name: tens[name].value)
    beside = (
        f" Ten evaluations of <code>{best}</code> have an FID proxy of {tens[best].value:.2f}, "
        f"{found.jumps[-1]} jumps {found.map[-1].value:.2f}."
    )
    if last.low > 0:
        return (
            "Its teacher does better without: with as few evaluations its best sampler has a lower FID "
            f"proxy, by {last.value:.2g}.{beside}"
        )
    if found.cost and found.cost < CHEAP * found.teacher_cost:
        share = found.cost / found.teacher_cost
        return (
            f"Learning to jump took {share:.0%} of the evaluations that learning to denoise had taken: "
            f"a network that denoises nearly knows where its paths end.{beside}"
        )
    return ""


ROW = Row(
    number=15,
    question="Can a network learn to jump?",
    claim="A model could invert many steps in a single go, but it would have to be a generative model of its own.",
    measure=measure,
    answer=answer,
)
