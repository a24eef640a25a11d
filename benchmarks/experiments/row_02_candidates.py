"""Row 2: the set of clean images that are still possible, against the noise level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from ...models.estimate import Estimate
from ...models.exact.base import ExactModel
from ..metrics.memorisation import binomial_interval
from . import candidates_figures as figures
from .base import Answer, Effort, Verdict
from .intervals import Interval
from .shrinking import RISE, Paths, curve_of, follow, known

LEVELS = tuple(np.geomspace(80, 0.02, 25).tolist())
SHOWN = LEVELS[::2]
"""Levels at which information is asked for."""
ONE_LEFT, OFTEN = 1.5, 0.05
"""More candidates than this are more than one; a share of paths above this is more than an exception."""


class Measured(NamedTuple):
    """What the row found.

    Attributes:
        points: entropies over the points of a cloud.
        components, classes: the same over a mixture.
        information: of each model, at :data:`SHOWN`.
        rising: share of the cloud's paths on which the entropy rises somewhere.
    """

    points: Paths
    components: Paths
    classes: Paths
    information: Mapping[str, Sequence[Estimate]]
    rising: Interval


@dataclass(frozen=True)
class Candidates:
    """See the module."""

    number: int = 2
    question: str = "What do the small steps decide?"
    claim: str = "As small steps are taken, the set of possible clean images shrinks, until one is left."

    def __call__(self, effort: Effort) -> Answer:
        """Entropies along true paths; information from MMSE curves."""
        found = _measure(effort)
        verdict = judge(found.points.number(0), found.points.number(-1), found.rising)
        return Answer(figures.main(found, SHOWN), _table(found), verdict, figures.details(found, SHOWN))


def _measure(effort: Effort) -> Measured:
    cloud, mixture = (cast(ExactModel, effort.model(name)) for name in ("digits-cloud", "fashion-mppca"))
    n = effort.samples(1024, 128)
    points = follow(cloud, LEVELS, n)
    hits = points.rising()
    curves = {"fashion-mppca": (mixture, 512), "fashion": (effort.model("fashion"), 192), "digits-cloud": (cloud, 1024)}
    nodes = 33 if effort.fast else 65
    information = {
        name: known(model, curve_of(model, LEVELS[-1], effort.samples(full, 48), nodes), SHOWN) for name, (model, full) in curves.items()
    }
    return Measured(
        points,
        follow(mixture, LEVELS, n),
        follow(mixture, LEVELS, n, classes=True),
        information,
        Interval(hits / n, *binomial_interval(hits, n)),
    )


def judge(first: Interval, last: Interval, rising: Interval) -> Verdict:
    """Refutes if more than one candidate is left; refines if single paths often go the other way; else supports.

    Args:
        first: effective number of candidates at the highest level.
        last: at the lowest.
        rising: share of the paths on which the entropy rises somewhere.
    """
    start = f"{first.value:,.0f} [{first.low:,.0f}, {first.high:,.0f}] candidates at the start"
    numbers = f"{start}, {last.value:.2f} [{last.low:.2f}, {last.high:.2f}] at the end"
    if first.value <= ONE_LEFT:
        return Verdict("inconclusive", f"There is only one candidate from the start ({numbers}), so nothing can shrink.")
    if last.low > ONE_LEFT:
        return Verdict("refutes", f"More than one candidate is left at the lowest noise level: {numbers}.")
    if last.high > ONE_LEFT:
        return Verdict("inconclusive", f"Whether one candidate is left is open with so few samples: {numbers}.")
    share = f"{rising.value:.0%} [{rising.low:.0%}, {rising.high:.0%}] of the paths"
    if rising.low > OFTEN:
        return Verdict(
            "refines",
            f"On average the candidates always shrink, and one is left: {numbers}. But on {share} the number grows again somewhere "
            f"(by more than {RISE:g} nats, seen at {len(LEVELS)} levels): a step may reopen what seemed decided. 95 % intervals.",
        )
    return Verdict("supports", f"The candidates shrink until one is left: {numbers}; it grows again on only {share}. 95 % intervals.")


def _table(found: Measured) -> pd.DataFrame:
    places = [LEVELS.index(level) for level in SHOWN]
    return pd.DataFrame(
        {
            "σ": f"{level:.3g}",
            "digits still possible": _brief(found.points.number(i)),
            "mixture components": _brief(found.components.number(i)),
            "classes": _brief(found.classes.number(i)),
            **{f"nats known, {name}": _nats(Interval.of(rows[place])) for name, rows in found.information.items()},
        }
        for place, (i, level) in enumerate(zip(places, SHOWN, strict=True))
    )


def _brief(number: Interval) -> str:
    places = 0 if number.value > 100 else 1 if number.value > 10 else 2
    return f"{number.value:,.{places}f}"


def _nats(known: Interval) -> str:
    return f"{known.value:,.1f} ± {known.high - known.value:.1f}"


ROW = Candidates()
