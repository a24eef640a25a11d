"""What the findings say, in sentences: the lowest sampler at each budget, and whether it is really better than the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from ..comparison.findings import BASELINE, Best, Findings, Standing
from ..quantities import Quantity
from ..record import Record
from ..text import short
from ..values import number, rows_of, text

AGAINST: dict[Standing, str] = {
    "better": "better than {against} at {budgets} NFE",
    "worse": "worse than {against} at {budgets} NFE",
    "equivalent": "equivalent to {against} at {budgets} NFE",
    "inconclusive": "inconclusive against {against} at {budgets} NFE",
    "no verdict": "without a verdict against {against} at {budgets} NFE",
    "the same": "the same as {against} at {budgets} NFE, where methods coincide",
    "itself": "{against} itself at {budgets} NFE",
    "alone": "without a row of {against} to compare with at {budgets} NFE",
}

NOTHING = "Nothing was measured."


@dataclass(frozen=True)
class Answer:
    """The findings on one problem: sentences, and the table that they are read from."""

    measure: Quantity
    sentences: tuple[str, ...]
    best: tuple[Best, ...]


def answer(found: Findings | None, rows: pd.DataFrame) -> Answer | None:
    """The findings in words; None if nothing was measured that can be judged.

    Args:
        found: on one problem.
        rows: of the problem (:func:`..table.curves.problems`).
    """
    if found is None:
        return None
    measure = found.quantity
    done = rows_of(rows.loc[rows["status"] == "ok"])
    sentences = (_lowest(found.best, measure), _against(found.best), _model(found), _jump(done), _caveat(found.best))
    return Answer(measure, tuple(sentence for sentence in sentences if sentence), found.best)


def _lowest(best: tuple[Best, ...], measure: Quantity) -> str:
    apart = [item for item in best if item.standing != "the same"]
    runs = [(curve, [item.budget for item in items]) for curve, items in groupby(apart, key=lambda item: item.curve)]
    said = "; ".join(f"{curve} at {_list(budgets)} NFE" for curve, budgets in runs)
    return f"Lowest {measure.title}: {said}." if said else ""


def _against(best: tuple[Best, ...]) -> str:
    budgets = {standing: [item.budget for item in best if item.standing == standing] for standing in AGAINST}
    if len(budgets["alone"]) == len(best):
        return f"There is no row of {best[0].against} to compare with."
    there = {phrase: _list(budgets[standing]) for standing, phrase in AGAINST.items() if budgets[standing]}
    said = [phrase.format(against=best[0].against, budgets=listed) for phrase, listed in there.items()]
    return f"The lowest is {'; '.join(said)}."


def _model(found: Findings) -> str:
    if not found.dominated:
        return ""
    return (
        "The model's own error dominates distances to the data in some of these rows, so that they rank no samplers: "
        "all of this is by the distance to converged samples of the same model."
    )


def _jump(rows: list[Record]) -> str:
    """One step against the floor: raw with plug-in, the two that may be compared."""
    jumps = [row for row in rows if row["steps"] == 1 and number(row, "fid_proxy_raw") is not None]
    jump = min(jumps, key=lambda row: row["sampler"] != BASELINE, default=None)
    if jump is None:
        return ""
    raw, floor = number(jump, "fid_proxy_raw"), number(jump, "fid_proxy_floor")
    times = f", {short(raw / floor, 2)} times what perfect samples get" if raw is not None and floor else ""
    return f"The jump in one step ({text(jump, 'sampler')}) has a plug-in distance of {short(raw)}{times}."


def _caveat(best: tuple[Best, ...]) -> str:
    flagged = [item.budget for item in best if item.flagged]
    return f"Intervals flagged † at {_list(flagged)} NFE are not to be trusted; the table says why." if flagged else ""


def _list(budgets: list[int]) -> str:
    *head, last = (str(budget) for budget in budgets)
    return f"{', '.join(head)} and {last}" if head else last
