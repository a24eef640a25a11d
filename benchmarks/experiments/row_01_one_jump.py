"""Row 1: what one jump gives, and how it becomes an image as steps are added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from . import one_jump_figures as figures
from .base import Answer, Row, Verdict
from .intervals import Interval
from .one_jump import Found, Measured, measure

COLLAPSED, UNLIKE = 0.2, 0.5
"""A jump is called the mean below this share of the data's variance, and no image below this share of the precision of the most steps."""


def tell(found: Found) -> Answer:
    """Curves, pictures, and a table of all samples."""
    return Answer(figures.curves(found), _table(found), judge(found), figures.DETAILS, figures.others(found))


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


ROW = Row(
    number=1,
    question="What does the prediction look like?",
    claim="The prediction is the mean of all clean images that could have led here, and a mean of images is not an image.",
    measure=measure,
    tell=tell,
)
