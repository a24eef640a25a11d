"""Findings of a table: the lowest row at each budget with its verdict, and the plateau.

The report, its Markdown and the terminal only put verdicts (:mod:`.verdicts`) into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ..quantities import Quantity
from ..record import Record
from ..table.curves import comparable_parts
from ..values import number, rows_by_index, text
from .compare import pairs_with_default_quantity
from .estimates import default_quantity, is_dominated
from .pairing import Entry, entry_of, match_with_sampler
from .significance import Verdict
from .verdicts import Judgement, Line, Panel, judge, judge_lines, panels_corrected_together

BASELINE = "euler"
"""Default baseline: every user has it."""


def baseline_title(baseline: str) -> str:
    """Return the name of a baseline as sentences write it."""
    return "Euler" if baseline == BASELINE else baseline


Standing = Verdict | Literal["the same", "itself", "alone"]
"""A verdict against the baseline, that the two coincide, or that there is nothing to compare."""


@dataclass(frozen=True)
class BestRow:
    """The row with the lowest value at one budget, which need not be better than any other.

    ``baseline`` is the row it is compared with, ``rivals`` are other curves it is not shown to
    beat, ``refusal`` says why nothing can be said, ``flagged`` that an interval is unreliable.
    """

    budget: int
    row: Record
    against: str
    baseline: Record | None
    standing: Standing
    rivals: tuple[str, ...]
    others: int
    refusal: str
    flagged: bool

    @property
    def curve(self) -> str:
        """Name of the row's curve."""
        return text(self.row, "curve")

    @property
    def is_shown_best(self) -> bool:
        """Return True if the row is shown to be better than every other row of the budget, at least one."""
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
    """The budget beyond which more work is not shown to help.

    "none": no lowest row beyond is lower, shown within the margin; "open": none is shown to be
    lower, nor that none is; "falling": the lowest falls up to the most evaluations that were tried.
    """

    budget: int
    kind: Literal["none", "open", "falling"]


@dataclass(frozen=True, eq=False)
class Findings:
    """Findings of one problem; ``dominated``: by ``fd_conv``, as the model's own error dominates."""

    panel: Panel
    best: tuple[BestRow, ...]
    plateau: Plateau | None
    dominated: bool

    @property
    def quantity(self) -> Quantity:
        """Quantity that the rows are judged by."""
        return self.panel.quantity


@dataclass(frozen=True, eq=False)
class TableFindings:
    """Findings by the titles of the problems, None where nothing was measured, and each row's line."""

    by_title: Mapping[str, Findings | None]
    lines: Mapping[int, Line]


def findings_of(
    frame: pd.DataFrame,
    homes: Mapping[str, Path] | None = None,
    baseline: str = BASELINE,
    *,
    unseen: int = 0,
) -> TableFindings:
    """Return the findings of a table; all claims hold together.

    Args:
        frame: of a :class:`..table.typed_table.TypedTable`.
        homes: path of each run by its name in the column ``run``, or of the only one as "".
        baseline: sampler or curve that rows are held against.
        unseen: rows of the table that are not in the frame; claims are corrected for them too.
    """
    parts = {title: _entries_by_index(rows, homes or {}) for title, rows in comparable_parts(frame)}
    entries = {index: entry for part in parts.values() for index, entry in part.items()}
    lines = lines_against_baseline(entries, baseline, unseen)
    findings: dict[str, Findings | None] = dict.fromkeys(parts)
    panels = {title: panel for title, part in parts.items() if (panel := _default_panel(part))}
    for title, panel in zip(
        panels, panels_corrected_together(panels.values(), unseen), strict=True
    ):
        findings[title] = _findings_of_problem(panel, lines, baseline)
    return TableFindings(findings, {index: line for index, (_, line) in lines.items()})


Lines = Mapping[int, tuple[Judgement, Line]]


def lines_against_baseline(
    entries: Mapping[int, Entry], baseline: str = BASELINE, unseen: int = 0
) -> Lines:
    """Return judgement and line of each row that can be compared with the baseline, by its index."""
    index = {id(entry): place for place, entry in entries.items()}
    if not any(entry.is_of(baseline) for entry in entries.values()):
        return {}
    pairs = pairs_with_default_quantity(match_with_sampler(list(entries.values()), baseline).pairs)
    both = [(item, pair, quantity) for pair, quantity in pairs if (item := judge(pair, quantity))]
    lines = judge_lines([(pair, quantity) for _, pair, quantity in both], unseen=unseen)
    return {
        index[id(pair.candidate)]: (item, line)
        for (item, pair, _), line in zip(both, lines, strict=True)
    }


def _entries_by_index(rows: pd.DataFrame, homes: Mapping[str, Path]) -> dict[int, Entry]:
    finished = rows_by_index(rows.loc[rows["status"] == "ok"])
    return {index: entry_of(row, homes) for index, row in finished.items()}


def _default_panel(entries: Mapping[int, Entry]) -> Panel | None:
    """Return the rows with a value of their default quantity; None without any value or budget."""
    quantity = default_quantity(entry.record for entry in entries.values())
    if quantity is None:
        return None
    measured = {index: entry for index, entry in entries.items() if entry.estimate(quantity)}
    has_budget = any(number(entry.record, "slot") is not None for entry in measured.values())
    return Panel(measured, quantity) if has_budget else None


def _findings_of_problem(panel: Panel, lines: Lines, baseline: str) -> Findings:
    def rank(index: int) -> tuple[float, bool]:
        """Return the value, and the baseline before what equals it."""
        entry = panel.entries[index]
        return number(entry.record, panel.quantity.name) or 0.0, not entry.is_of(baseline)

    slots: dict[int, list[int]] = {}
    for index, entry in panel.entries.items():
        if (slot := number(entry.record, "slot")) is not None:
            slots.setdefault(int(slot), []).append(index)
    leaders = {slot: min(slots[slot], key=rank) for slot in sorted(slots)}
    best = (
        _best_row_at_budget(panel, slot, first, slots[slot], lines.get(first), baseline)
        for slot, first in leaders.items()
    )
    has_dominated = any(is_dominated(entry.record) for entry in panel.entries.values())
    by_model = panel.quantity.name == "fd_conv" and has_dominated
    return Findings(panel, tuple(best), _find_plateau(panel, leaders), by_model)


def _best_row_at_budget(
    panel: Panel,
    slot: int,
    first: int,
    indices: Iterable[int],
    judged: tuple[Judgement, Line] | None,
    baseline: str,
) -> BestRow:
    row, quantity = panel.entries[first].record, panel.quantity
    others = [index for index in indices if panel.entries[index].record["curve"] != row["curve"]]
    rivals, reasons = [], []
    against = judged and judged[0].pair.baseline
    for index in others:
        entry = panel.entries[index]
        beaten = judged is not None and entry is against and judged[1].verdict == "better"
        if not beaten and panel.verdict(index, first) != "worse":
            rivals.append(text(entry.record, "curve"))
        reasons.append(judgement.reason if (judgement := panel.judgement(index, first)) else "")
    record = row if panel.entries[first].is_of(baseline) else against and against.record
    sides = [side for side in (row, record) if side is not None]
    return BestRow(
        budget=slot,
        row=row,
        against=baseline_title(baseline),
        baseline=record,
        standing=_standing_of_row(panel, first, others, judged, baseline),
        rivals=tuple(dict.fromkeys(rivals)),
        others=len({panel.entries[index].record["curve"] for index in others}),
        refusal=reasons[0] if reasons and all(reasons) else "",
        flagged=any(quantity.flag and text(side, quantity.flag) for side in sides),
    )


def _standing_of_row(
    panel: Panel,
    first: int,
    others: Iterable[int],
    judged: tuple[Judgement, Line] | None,
    baseline: str,
) -> Standing:
    if panel.entries[first].is_of(baseline):
        twins = (panel.judgement(index, first) for index in others)
        return "the same" if any(twin and twin.has_equal_values for twin in twins) else "itself"
    if judged is None:
        return "alone"
    judgement, line = judged
    return "the same" if judgement.has_equal_values else line.verdict


def _find_plateau(panel: Panel, leaders: Mapping[int, int]) -> Plateau | None:
    """Return the plateau: no lowest row at a larger budget is shown to be lower; None if undecided."""
    budgets = list(leaders)
    for place, budget in enumerate(budgets[:-1]):
        later = {panel.verdict(leaders[other], leaders[budget]) for other in budgets[place + 1 :]}
        if "no verdict" in later:
            return None
        if "better" not in later:
            return Plateau(budget, "none" if later <= {"equivalent", "worse"} else "open")
    return Plateau(budgets[-1], "falling") if len(budgets) > 1 else None
