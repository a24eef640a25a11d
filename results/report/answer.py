"""What the table says, in sentences: the best sampler at each budget, and whether it is really better than Euler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import pandas as pd

from ..estimates import flag_of
from ..record import Record
from ..text import short
from ..values import number, rows_of, text
from .metrics import MEASURES, Measure
from .told_apart import told_apart

BASELINE = "euler"

Verdict = Literal["better than Euler", "inconclusive", "same as Euler", "Euler is best", "no Euler to compare with"]


@dataclass(frozen=True)
class Best:
    """The best row at one budget.

    Attributes:
        budget: network evaluations per sample that were allowed.
        row: the best row.
        baseline: Euler's row at that budget.
        verdict: how the two compare: better only if they are told apart (:mod:`.told_apart`).
        rivals: other curves that the best one is not told apart from.
        flagged: whether an interval that the verdict rests on is flagged as unreliable.
    """

    budget: int
    row: Record
    baseline: Record | None
    verdict: Verdict
    rivals: tuple[str, ...]
    flagged: bool

    @property
    def curve(self) -> str:
        """Name of the best curve."""
        return text(self.row, "curve")


@dataclass(frozen=True)
class Answer:
    """The findings on one problem: sentences, and the table that they are read from."""

    measure: Measure
    sentences: tuple[str, ...]
    best: tuple[Best, ...]


def answer(rows: pd.DataFrame, homes: Mapping[str, Path] | None = None) -> Answer | None:
    """The findings in the rows of one problem (:func:`.curves.problems`); None if nothing was measured.

    Args:
        rows: of one problem.
        homes: path of each run by its name in the column ``run``, or of the only one as "", where influence values are read.
    """
    done = rows_of(rows.loc[rows["status"] == "ok"])
    for measure in MEASURES:
        measured = [row for row in done if number(row, measure.name) is not None]
        slots = sorted({int(slot) for row in measured if (slot := number(row, "slot")) is not None})
        if slots:
            best = _bests([[row for row in measured if row["slot"] == slot] for slot in slots], measure, homes or {})
            sentences = (_winners(best, measure), _against_euler(best), _jump(measured), _caveat(best))
            return Answer(measure, tuple(sentence for sentence in sentences if sentence), best)
    return None


def _bests(slots: list[list[Record]], measure: Measure, homes: Mapping[str, Path]) -> tuple[Best, ...]:
    """The best row of each slot, told apart from Euler over all slots together."""
    ranked = [sorted(rows, key=lambda row: (number(row, measure.name) or 0.0, row["sampler"] != BASELINE)) for rows in slots]
    baselines = [_baseline(rows) for rows in ranked]
    pairs = [(rows[0], baseline) for rows, baseline in zip(ranked, baselines, strict=True) if baseline is not None]
    apart = iter(told_apart(pairs, measure, homes))
    return tuple(
        _best(rows, baseline, measure, homes, apart=baseline is not None and next(apart))
        for rows, baseline in zip(ranked, baselines, strict=True)
    )


def _baseline(ranked: list[Record]) -> Record | None:
    eulers = [row for row in ranked if row["sampler"] == BASELINE]
    return min(eulers, key=lambda row: row["schedule"] != ranked[0]["schedule"], default=None)


def _best(ranked: list[Record], baseline: Record | None, measure: Measure, homes: Mapping[str, Path], *, apart: bool) -> Best:
    first, *others = ranked
    told = told_apart([(first, row) for row in others], measure, homes)
    rivals = [text(row, "curve") for row, far in zip(others, told, strict=True) if row["curve"] != first["curve"] and not far]
    flagged = any(flag_of(row, measure.name) for row in (first, baseline) if row is not None)
    verdict = _verdict(first, baseline, others, measure, apart=apart)
    return Best(int(number(first, "slot") or 0), first, baseline, verdict, tuple(dict.fromkeys(rivals)), flagged)


def _verdict(best: Record, baseline: Record | None, others: list[Record], measure: Measure, *, apart: bool) -> Verdict:
    if baseline is None:
        return "no Euler to compare with"
    if _alike(best, baseline, measure) and any(_alike(best, row, measure) for row in others):
        return "same as Euler"
    if best["curve"] == baseline["curve"]:
        return "Euler is best"
    return "better than Euler" if apart else "inconclusive"


def _alike(first: Record, second: Record, measure: Measure) -> bool:
    """Whether two values differ by rounding only, as those of one step do: every method's last step to 0 is the same."""
    return math.isclose(number(first, measure.name) or 0.0, number(second, measure.name) or 0.0, rel_tol=1e-5)


def _winners(best: tuple[Best, ...], measure: Measure) -> str:
    told_apart = [item for item in best if item.verdict != "same as Euler"]
    runs = [(curve, [item.budget for item in items]) for curve, items in groupby(told_apart, key=lambda item: item.curve)]
    said = "; ".join(f"{curve} at {_list(budgets)} NFE" for curve, budgets in runs)
    return f"Lowest {measure.title}: {said}." if said else ""


def _against_euler(best: tuple[Best, ...]) -> str:
    phrases: dict[Verdict, str] = {
        "better than Euler": "better than Euler at {} NFE",
        "inconclusive": "inconclusive against Euler at {} NFE",
        "same as Euler": "no better than Euler at {} NFE, where methods coincide",
        "Euler is best": "Euler itself at {} NFE",
    }
    budgets = {verdict: [item.budget for item in best if item.verdict == verdict] for verdict in phrases}
    said = [phrase.format(_list(budgets[verdict])) for verdict, phrase in phrases.items() if budgets[verdict]]
    return f"The best is {'; '.join(said)}." if said else "There is no Euler row to compare with."


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
