"""Row 12: does it have to be noise? Pictures rebuilt from other degradations (cold diffusion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..figures.cold import DETAILS, NAMES, draw, strips
from ..measuring.cold import DDIM, IMPROVED, NAIVE, NOISE, TRACE, ColdResult, Course, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, between, brackets, half, mark, note

NEGLIGIBLE = 0.01
"""Gap that counts as none, as a share of the variance of the features."""
FEWER = 10
"""Ratio to noise's share of alike pairs above which outputs are less diverse."""
RULES = {IMPROVED: "Algorithm 2", NAIVE: "Algorithm 1", DDIM: "DDIM"}


def answer(found: ColdResult) -> Answer:
    """Return the answer: distances and diversity of each degradation."""
    best = {name: found.courses[name][rule] for name, rule in chosen(found).items()}
    return Answer(
        draw(found, best),
        _table(found),
        judge(found, best),
        DETAILS + note(found.flags),
        (strips(found, best),),
        keys=2,
    )


def chosen(found: ColdResult) -> dict[str, str]:
    """Return the name of the better rule of each degradation, by the pictures for choosing."""
    return {
        name: min(courses, key=lambda rule: min(courses[rule].tried))
        for name, courses in found.courses.items()
    }


def _table(found: ColdResult) -> pd.DataFrame:
    dagger = mark(found.flags)
    return pd.DataFrame(
        {
            "removed by": NAMES[name],
            "rule": RULES[rule],
            f"FID proxy, {steps_of(1)}{dagger}": half(one.distances[0]),
            "best number of steps": found.counts[one.best],
            f"FID proxy there{dagger}": half(one.distances[one.best]),
            "error there": brackets(one.errors[one.best]),
            "variance there, %": brackets(one.variance[one.best], 100),
            "alike pairs there, %": brackets(one.alike, 100),
            f"FID proxy, {steps_of(found.counts[-1])}{dagger}": half(one.distances[-1]),
        }
        for name in NAMES
        for rule, one in found.courses.get(name, {}).items()
    )


def steps_of(count: int) -> str:
    """Return a number of steps in words."""
    return f"{count} step{'s' * (count > 1)}"


def judge(found: ColdResult, best: Mapping[str, Course]) -> Verdict:
    """Return the verdict by the rule of each degradation in ``best``, at its best number of steps.

    A degradation helps if several steps end significantly nearer to the data than one. It equals
    noise if it helps, is not significantly farther from the data than noise, and not significantly
    less diverse. Rules and numbers of steps were chosen on other pictures.
    """
    least = NEGLIGIBLE * found.variance
    others = {name: best[name] for name in NAMES if name in best and name != NOISE}
    helped = [name for name, one in others.items() if one.gain.low > least]
    few = [name for name, one in others.items() if one.alike.low > FEWER * found.alike]
    well = [name for name in helped if others[name].behind.low <= least and name not in few]
    numbers = _numbers(found, best)
    nearer = [name for name in well if others[name].behind.high < -least]
    surprise = _surprise(found, nearer)
    if len(well) == len(others):
        return Verdict(
            "supports",
            "Noise is not needed: every other way of removing information does as well here.",
            numbers,
            surprise,
        )
    if helped:
        return Verdict(
            "refines", _limits(found, others, helped, well, nearer, few), numbers, surprise
        )
    if all(one.gain.high < least for one in others.values()):
        return Verdict(
            "refutes",
            "Without noise the steps gain nothing: what comes out is as far from real "
            "pictures as after one.",
            numbers,
        )
    return Verdict(
        "inconclusive",
        "These samples are too few to say whether steps help without noise.",
        numbers,
    )


def _limits(
    found: ColdResult,
    others: Mapping[str, Course],
    helped: Sequence[str],
    well: Sequence[str],
    nearer: Sequence[str],
    few: Sequence[str],
) -> str:
    chance = bool(few) and set(few) == set(found.traces)
    if well and chance:
        what = "end nearer to real pictures" if nearer == well else "do as well"
        verb = what if len(well) > 1 else what.replace("end", "ends").replace("do", "does")
        if all(others[name].alike.low > found.alike for name in well):
            verb += ", though less varied"
        return (
            f"It need not be noise, but it takes chance: {listed(well)} {verb}, and {listed(few)} give few "
            "different ones."
        )
    if well:
        rest = [name for name in others if name not in well]
        return f"It need not be noise: {listed(well)} work as well, but {listed(rest)} not."
    if chance and len(helped) == len(others):
        return (
            "Steps help without noise too, but no other way does as well, and "
            f"{listed(few)}, with nothing left to chance, give few different pictures."
        )
    return (
        f"Steps also help with {listed(helped)}, but no other way of removing information does "
        "as well as noise."
    )


def _surprise(found: ColdResult, nearer: Sequence[str]) -> str:
    """Return the surprise about a trace of noise, or about degradations better than noise."""
    freed = {
        name: (found.courses[name][IMPROVED].alike, share)
        for name, (share, gap) in found.traces.items()
        if gap.high < 0 and found.courses[name][IMPROVED].alike.low > FEWER * share.high
    }
    if freed:
        name = max(freed, key=lambda one: freed[one][0].value / max(freed[one][1].value, 1e-9))
        before, after = (rounded(share) for share in freed[name])
        return (
            f"A trace of noise in the start, too weak to be seen, makes about {after} different "
            f"pictures of the {before} of {NAMES[name]}, and better ones. The little chance that there "
            "is decides them."
        )
    if not nearer:
        return ""
    return (
        f"With this small network, {listed(nearer)} even "
        f"{'end' if len(nearer) > 1 else 'ends'} nearer to real pictures than noise."
    )


def _numbers(found: ColdResult, best: Mapping[str, Course]) -> tuple[str, ...]:
    rules = chosen(found)
    lines = [
        "Each way takes the rule and the number of steps that do best on other pictures: "
        + "; ".join(_nearest(found, name, rules[name]) for name in NAMES if name in best)
        + ".",
        "Farther from the data than noise by (or nearer, if negative): "
        + "; ".join(f"{NAMES[name]} {between(one.behind)}" for name, one in _without_noise(best))
        + ".",
        "Nearer to the data than after one step by: "
        + "; ".join(f"{NAMES[name]} {between(one.gain)}" for name, one in _without_noise(best))
        + ".",
        "Effective number of different pictures: noise "
        f"{number(best[NOISE].alike)}; "
        + "; ".join(f"{NAMES[name]} {number(one.alike)}" for name, one in _without_noise(best))
        + f". Of real pictures {1 / found.alike:,.0f}; fewer than a tenth of that counts as few.",
        f"After {steps_of(found.counts[-1])}: "
        + "; ".join(
            f"{NAMES[name]} {between(best[name].distances[-1])}" for name in NAMES if name in best
        )
        + ".",
    ]
    if found.traces:
        lines.append(
            f"With noise of standard deviation {TRACE} added to the start, Algorithm 2 gives so "
            "many different pictures: "
            + "; ".join(
                f"{NAMES[name]} {number(share)}, and the FID proxy changes by {between(gap)}"
                for name, (share, gap) in found.traces.items()
            )
            + "."
        )
    return (*lines, f"{INTERVALS} Where all outputs are the same there is none.")


def rounded(share: Interval) -> str:
    """Return the effective number of outputs as text, to one digit; at none alike, its bound."""
    return f"{float(f'{1 / (share.value or share.high):.1g}'):,.0f}"


def _nearest(found: ColdResult, name: str, rule: str) -> str:
    one = found.courses[name][rule]
    steps = steps_of(found.counts[one.best])
    return f"{NAMES[name]} {between(one.distances[one.best])} ({RULES[rule]}, {steps})"


def _without_noise(best: Mapping[str, Course]) -> list[tuple[str, Course]]:
    return [(name, best[name]) for name in NAMES if name in best and name != NOISE]


def number(share: Interval) -> str:
    """Return the effective number of different outputs, as text, from the share of alike pairs."""
    if not share.low > 0:
        return f"at least {1 / share.high:,.0f}"
    return between(Interval(*(1 / end for end in (share.value, share.high, share.low))))


def listed(names: Sequence[str]) -> str:
    """Return names of degradations with commas and an "and"."""
    words = [NAMES[name] for name in NAMES if name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


ROW = Row(
    number=12,
    question="Does it have to be noise?",
    claim="The process works with other ways of removing information than noise: blur, masks, "
    "snow, or blending with another picture (arXiv:2208.09392).",
    measure=measure,
    answer=answer,
)
