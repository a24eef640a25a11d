"""Findings of a table: the best row at each budget with its verdict, and the plateau.

Reports and their Markdown put these findings into words, and make no claims of their own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ..quantities import Quantity
from ..table.curves import comparable_parts, label_of_curve
from ..values import Record, text
from .compare import pairs_with_default_quantity
from .estimates import default_quantity, is_dominated
from .pairing import Entry, Pair, RunPaths, entries_by_index, match_with_sampler
from .significance import Verdict
from .verdicts import COINCIDE, ComparedRows, Line, correct_together, judge_lines

BASELINE = "euler"
"""Default baseline sampler."""

Standing = Verdict | Literal["the same", "itself", "alone"]
"""Standing of a row against the baseline: a verdict, equal values, itself, or no row to compare."""


@dataclass(frozen=True)
class BestRow:
    """Row with the best value at one budget, whether or not it is significantly the best.

    Attributes:
        against: name for sentences of the baseline's curve that the row is compared with.
        baseline: row of the baseline that the row is compared with; None if there is none.
        standing: standing of the row against the baseline (:data:`Standing`).
        rivals: other curves at the budget that the row is not shown to be better than.
        ties: rows of the rivals, one for each.
        all_better: True if the row and each rival are shown to be better than one baseline row.
        others: number of other curves at the budget.
        refusal: reason why the row cannot be compared with any other at the budget; "" if it can.
        is_flagged: True if the interval of the row or the baseline is flagged.
    """

    budget: int
    row: Record
    against: str
    baseline: Record | None
    standing: Standing
    rivals: tuple[str, ...]
    ties: tuple[Record, ...]
    all_better: bool
    others: int
    refusal: str
    is_flagged: bool

    @property
    def curve(self) -> str:
        """Name of the row's curve."""
        return text(self.row, "curve")

    @property
    def is_shown_best(self) -> bool:
        """Return True if there are other curves, and the row is shown to be better than each."""
        return self.others > 0 and not self.rivals

    @property
    def verdict(self) -> str:
        """Standing of the row against the baseline, in words."""
        words: dict[Standing, str] = {
            "better": f"better than {self.against}",
            "worse": f"worse than {self.against}",
            "equivalent": f"equivalent to {self.against}",
            "inconclusive": "inconclusive",
            "no verdict": "no verdict",
            "the same": f"same as {self.against}",
            "itself": f"{self.against} itself",
            "alone": f"no {self.against} to compare with",
        }
        return words[self.standing]


@dataclass(frozen=True)
class Plateau:
    """Smallest budget whose best row is not shown to be beaten at any larger budget.

    ``kind`` says what more evaluations bring. "none": nothing, as the best rows of all larger
    budgets are shown to be equivalent or worse. "open": not known, as a verdict is inconclusive.
    "falling": ``budget`` is the largest budget, so that there is no plateau.
    """

    budget: int
    kind: Literal["none", "open", "falling"]


@dataclass(frozen=True, eq=False)
class Findings:
    """Findings of one problem (a model and estimator), with the best row of each budget.

    ``is_dominated`` is True if the model's error dominates distances to data, so ``fd_conv`` is used.
    ``baseline`` is the sampler or curve that rows are compared with.
    """

    group: ComparedRows
    best: tuple[BestRow, ...]
    plateau: Plateau | None
    is_dominated: bool
    baseline: str

    @property
    def quantity(self) -> Quantity:
        """Quantity that the rows are compared by."""
        return self.group.quantity


@dataclass(frozen=True, eq=False)
class TableFindings:
    """Findings by problem title, and comparisons of rows with the baseline by row index.

    The findings are None for a problem without a measured row at a budget.
    """

    by_title: Mapping[str, Findings | None]
    lines: Mapping[int, Line]


def findings_of(
    frame: pd.DataFrame,
    homes: RunPaths | None = None,
    baseline: str = BASELINE,
    *,
    unseen: int = 0,
) -> TableFindings:
    """Return the findings of a table, with verdicts corrected for all its comparisons.

    Args:
        frame: data frame of a :class:`..table.typed_table.TypedTable`.
        homes: path of each run by its name in the column ``run``; "" is the name of a single run.
        baseline: sampler or curve that rows are compared with.
        unseen: number of rows left out of ``frame``, which the correction of verdicts counts too.
    """
    parts: dict[str, dict[int, Entry]] = {}
    for title, rows in comparable_parts(frame):
        parts[title] = entries_by_index(rows.loc[rows["status"] == "ok"], homes)
    entries = {index: entry for part in parts.values() for index, entry in part.items()}
    lines = lines_against_baseline([*entries.values()], baseline, unseen)
    findings: dict[str, Findings | None] = dict.fromkeys(parts)
    groups = {title: group for title, part in parts.items() if (group := _default_group(part))}
    for title, group in zip(groups, correct_together(groups.values(), unseen), strict=True):
        findings[title] = _findings_of_problem(group, lines, baseline)
    return TableFindings(findings, {i: lines[e][1] for i, e in entries.items() if e in lines})


Lines = Mapping[Entry, tuple[Pair, Line]]


def lines_against_baseline(entries: Sequence[Entry], baseline: str, unseen: int) -> Lines:
    """Return, by entry, its pair with a baseline row and the comparison of both rows.

    Entries without a comparable baseline row are left out. Verdicts allow for ``unseen`` more rows.
    """
    if not any(entry.is_of(baseline) for entry in entries):
        return {}
    pairs = pairs_with_default_quantity(match_with_sampler(entries, baseline).pairs)
    known = [item for item in pairs if all(entry.estimate(item[1]) for entry in item[0])]
    lines = zip(known, judge_lines(known, unseen=unseen), strict=True)
    return {pair.candidate: (pair, line) for (pair, _), line in lines}


def _default_group(entries: Mapping[int, Entry]) -> ComparedRows | None:
    """Return the rows with a value of their default quantity; None if no such row has a budget."""
    quantity = default_quantity(entry.record for entry in entries.values())
    if quantity is None:
        return None
    measured = {index: entry for index, entry in entries.items() if entry.estimate(quantity)}
    has_budget = any(entry.budget is not None for entry in measured.values())
    return ComparedRows(measured, quantity) if has_budget else None


def _findings_of_problem(group: ComparedRows, lines: Lines, baseline: str) -> Findings:
    leaders = group.leaders(baseline)
    at_budget: dict[int | None, list[Entry]] = defaultdict(list)
    for entry in group.entries.values():
        at_budget[entry.budget].append(entry)
    best = [_best_row(group, at_budget[at], x, lines, baseline) for at, x in leaders.items()]
    has_dominated = any(is_dominated(entry.record) for entry in group.entries.values())
    by_model = group.quantity.name == "fd_conv" and has_dominated
    return Findings(group, tuple(best), _find_plateau(group, leaders), by_model, baseline)


def _best_row(
    group: ComparedRows, rows: Sequence[Entry], first: Entry, lines: Lines, baseline: str
) -> BestRow:
    row, quantity, judged = first.record, group.quantity, lines.get(first)
    others = [entry for entry in rows if entry.curve != first.curve]
    ties, reasons = [], []
    against = judged and judged[0].baseline
    for entry in others:
        beaten = judged is not None and entry is against and judged[1].verdict == "better"
        if not beaten and group.verdict(entry, first) != "worse":
            ties.append(entry)
        reasons.append(judgement.reason if (judgement := group.judgement(entry, first)) else "")
    record = row if first.is_of(baseline) else against and against.record
    rivals = {entry.curve: entry for entry in ties}
    level = [
        item[1].verdict if item and item[0].baseline is against else ""
        for item in map(lines.get, (first, *ties))
    ]
    sides = [side for side in (row, record) if side is not None]
    return BestRow(
        budget=first.budget or 0,
        row=row,
        against=label_of_curve(text(record, "curve") if record else baseline),
        baseline=record,
        standing=_standing_of_row(group, first, others, judged, baseline),
        rivals=tuple(rivals),
        ties=tuple(entry.record for entry in rivals.values()),
        all_better=all(verdict == "better" for verdict in level),
        others=len({entry.curve for entry in others}),
        refusal=reasons[0] if reasons and all(reasons) else "",
        is_flagged=any(quantity.flag and text(side, quantity.flag) for side in sides),
    )


def _standing_of_row(
    group: ComparedRows,
    first: Entry,
    others: Iterable[Entry],
    judged: tuple[Pair, Line] | None,
    baseline: str,
) -> Standing:
    if first.is_of(baseline):
        twins = (group.judgement(entry, first) for entry in others)
        return "the same" if any(twin and twin.has_equal_values for twin in twins) else "itself"
    if judged is None:
        return "alone"
    _, line = judged
    coincide = math.isclose(line.baseline_value, line.value, rel_tol=COINCIDE)
    return "the same" if coincide else line.verdict


def _find_plateau(group: ComparedRows, leaders: Mapping[int, Entry]) -> Plateau | None:
    """Return the plateau, from best rows by budget; None for one budget or without verdicts."""
    budgets = list(leaders)
    for place, budget in enumerate(budgets[:-1]):
        later = {group.verdict(leaders[other], leaders[budget]) for other in budgets[place + 1 :]}
        if "no verdict" in later:
            return None
        if "better" not in later:
            return Plateau(budget, "none" if later <= {"equivalent", "worse"} else "open")
    return Plateau(budgets[-1], "falling") if len(budgets) > 1 else None
