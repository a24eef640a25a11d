"""Row 1: what one jump gives, and how it becomes an image as steps are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from . import one_jump_figures as figures
from .base import Answer, Effort, Verdict
from .intervals import Interval
from .one_jump import Data, Measured

MODELS = {"fashion": 320, "fashion-mppca": 512, "wavelet": 512}
"""Samples of each model in a full run; half of them above 50 steps."""
STEPS, FAST_STEPS = (1, 2, 5, 10, 20, 50, 200, 1000), (1, 2, 5, 10, 20)
REAL, FAST_REAL, LEAST = 2000, 1000, 160
COLLAPSED, UNLIKE = 0.2, 0.5
"""A jump is called the mean below this share of the data's variance, and no image below this share of the precision of the most steps."""


@dataclass(frozen=True)
class OneJump:
    """See the module."""

    number: int = 1
    question: str = "What does the prediction look like?"
    claim: str = "The prediction is the mean of all clean images that could have led here, and a mean of images is not an image."

    def __call__(self, effort: Effort) -> Answer:
        """Samples of Euler's method with N steps, for every N, on every model."""
        steps = FAST_STEPS if effort.fast else STEPS
        data = {name: Data(effort.model(name), FAST_REAL if effort.fast else REAL) for name in MODELS}
        found = {name: [data[name].measure(n, _count(effort, full, n)) for n in steps] for name, full in MODELS.items()}
        return Answer(figures.curves(found), _table(found), judge(found), figures.DETAILS, figures.others(found))


def _count(effort: Effort, full: int, steps: int) -> int:
    return effort.samples(full, LEAST) if steps <= 50 else max(LEAST, full // 2)


def judge(found: Mapping[str, Sequence[Measured]]) -> Verdict:
    """Refutes unless every jump is the mean; then supports where all means lie outside the data, refutes where none does, else refines."""
    jumps = {name: (rows[0], rows[-1]) for name, rows in found.items()}
    spread_out = [name for name, (jump, _) in jumps.items() if jump.spread.high >= COLLAPSED]
    outside = [name for name, (jump, best) in jumps.items() if jump.among.high < UNLIKE * best.among.low]
    inside = [name for name, (jump, best) in jumps.items() if jump.among.low > UNLIKE * best.among.high]
    numbers = " ".join(_numbers(name, *pair) for name, pair in jumps.items())
    if spread_out:
        return Verdict("refutes", f"One jump is not the mean on {_and(spread_out)}. {numbers}")
    if len(outside) == len(found):
        return Verdict("supports", f"One jump gives the mean, and the mean lies outside the data. {numbers}")
    if len(inside) == len(found):
        return Verdict("refutes", f"One jump gives the mean, but here the mean lies in the midst of the data. {numbers}")
    if outside:
        where = f"It lies outside the data on {_and(outside)}; on {_and(name for name in found if name not in outside)} it does not"
        return Verdict("refines", f"One jump gives the mean. {where}: a mean need not be impossible, it is always the same. {numbers}")
    return Verdict("inconclusive", f"One jump gives the mean; whether it lies among the data is open with so few samples. {numbers}")


def _numbers(name: str, jump: Measured, best: Measured) -> str:
    spread, share = jump.spread, jump.among
    return (
        f"<br><code>{name}</code>: one jump keeps {spread.value:.1%} [{spread.low:.1%}, {spread.high:.1%}] of the data’s variance; "
        f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of the jumps lie among the data, against {best.among.value:.0%} "
        f"[{best.among.low:.0%}, {best.among.high:.0%}] of the samples of {best.steps} steps."
    )


def _and(names: Iterable[str]) -> str:
    return " and ".join(f"<code>{name}</code>" for name in names)


def _table(found: Mapping[str, Sequence[Measured]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": name,
            "steps": row.steps,
            "variance, % of the data’s": _short(row.spread, 100),
            "among the data, %": _short(row.among, 100),
            "FID proxy": _short(row.to_data),
            "distance to converged": _short(row.to_converged),
        }
        for name, rows in found.items()
        for row in rows
    )


def _short(one: Interval | None, scale: float = 1) -> str:
    if one is None:
        return "–"
    value, low, high = (scale * end for end in one)
    places = 0 if high - low > 10 else 1 if high - low > 0.5 else 2
    return f"{value:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


ROW = OneJump()
