"""Row 1: what one jump gives, and how it becomes an image as steps are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from . import one_jump_figures as figures
from .base import Answer, Row, Verdict
from .one_jump import Found, Measured, measure
from .wording import INTERVALS, brackets, listed, percent

COLLAPSED, UNLIKE = 0.2, 0.5
"""A jump is called the mean below this share of the data's variance, and no image below this share of the precision of the most steps."""


def tell(found: Found) -> Answer:
    """Curves, pictures, and a table of all samples."""
    return Answer(figures.curves(found), _table(found), judge(found), figures.DETAILS, figures.others(found), keys=2)


def judge(found: Mapping[str, Sequence[Measured]]) -> Verdict:
    """Refutes unless every jump is the mean; then supports where all means lie outside the data, refutes where none does, else refines."""
    jumps = {name: (rows[0], rows[-1]) for name, rows in found.items()}
    spread_out = [name for name, (jump, _) in jumps.items() if jump.spread.high >= COLLAPSED]
    outside = [name for name, (jump, best) in jumps.items() if jump.among.high < UNLIKE * best.among.low]
    inside = [name for name, (jump, best) in jumps.items() if jump.among.low > UNLIKE * best.among.high]
    lines = [*(_numbers(name, *pair) for name, pair in jumps.items()), INTERVALS]
    if spread_out:
        return Verdict("refutes", listed(f"One jump is not the mean on {_and(spread_out)}.", lines))
    mean = (
        f"One jump gives the mean, with at most {max(jump.spread.high for jump, _ in jumps.values()):.0%} of the data’s variance about it"
    )
    if len(outside) == len(found):
        return Verdict("supports", listed(f"{mean}, and the mean lies outside the data.", lines))
    if len(inside) == len(found):
        return Verdict("refutes", listed(f"{mean}; but here the mean lies in the midst of the data.", lines))
    if outside:
        rest = f"among them on {_and(inside)}" if inside else "elsewhere it is open"
        where = f"It lies outside the data on {_and(outside)}, {rest}: a mean need not be impossible, it is always the same."
        return Verdict("refines", listed(f"{mean}. {where}", lines))
    return Verdict("inconclusive", listed(f"{mean}; whether it lies among the data is open with so few samples.", lines))


def _numbers(name: str, jump: Measured, best: Measured) -> str:
    return (
        f"<code>{name}</code>: one jump keeps {percent(jump.spread)} of the data’s variance; {percent(jump.among)} of the jumps lie "
        f"among the data, against {percent(best.among)} of the samples of {best.steps} steps."
    )


def _and(names: Iterable[str]) -> str:
    return " and ".join(f"<code>{name}</code>" for name in names)


def _table(found: Mapping[str, Sequence[Measured]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": name,
            "steps": row.steps,
            "variance, % of the data’s": brackets(row.spread, 100),
            "among the data, %": brackets(row.among, 100),
            "FID proxy": brackets(row.to_data),
            "distance to converged": brackets(row.to_converged),
        }
        for name, rows in found.items()
        for row in rows
    )


ROW = Row(
    number=1,
    question="What does the prediction look like?",
    claim="The prediction is the mean of all clean images that could have led here, and a mean of images is not an image.",
    measure=measure,
    tell=tell,
)
