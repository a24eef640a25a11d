"""Rankings in a terminal of 80 columns, in plain ASCII where the terminal needs it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..comparison.best_rows import best_curve_budgets
from ..comparison.compare import compare_with
from ..comparison.estimates import default_quantity
from ..comparison.findings import BASELINE, findings_of
from ..comparison.headline import headline_of_problem
from ..comparison.significance import SIGNS, Verdict
from ..printed_values import (
    BELOW,
    BELOW_NOTE,
    interval_bounds,
    interval_flag,
    is_below_zero,
    shown_number,
)
from ..quantities import find, judged
from ..result_table import ResultTable
from ..sentences import lead_sentences
from ..table.curves import LEFT_OUT, CurveBudget, comparable_parts, rows_by_curve_budget
from ..text import strip_control_characters
from ..values import Record, number, rows_as_dicts, text
from .path_curvature import ASCII, BLOCKS, positive_range, sparkline

Marks = Mapping[tuple[str, str, str, int], Verdict]
"""Verdicts against the baseline, by model, estimator, curve and budget."""
SHORT_STATUS = {name: name for name in ("failed", "skipped", "crashed", "killed", "damaged")}
SHORT_STATUS |= {"diverged": "diverg.", "missing": "…", "timed out": "timeout"}
PLAIN = str.maketrans(f"·…–†▲▼≈{BELOW}{BLOCKS}", f".~-!+-=-{ASCII}")
"""ASCII replacement of each special character."""
_NAME, _SHORTEST_NAME, _SPARK, _GAP = 20, 7, 12, 2
"""Widths in letters: preferred and least width of names, spark-lines, gaps between columns."""
_WIDE = 60
"""Smallest width in letters of rankings with spark-lines."""


@dataclass(frozen=True)
class Ranking:
    """Ranking of one problem: rows by curve and budget, verdicts, and rows tied with the best."""

    metric: str
    cells: Mapping[CurveBudget, Record]
    marks: Marks
    tied_with_best: Collection[CurveBudget]

    def value(self, curve: str, slot: int) -> float | None:
        """Return the value of a curve at a budget; None if there is no finished row."""
        row = self.cells.get((curve, slot), {})
        return number(row, self.metric) if row.get("status") == "ok" else None

    def cell(self, curve: str, slot: int, best: float | None) -> Text:
        """Return a cell's text: value, flag, star for ``best``, sign of the verdict; or the status."""
        row = self.cells.get((curve, slot))
        if row is None:
            return Text("·", style="dim")
        value = self.value(curve, slot)
        if value is None:
            return Text(SHORT_STATUS.get(text(row, "status"), "–"), style="dim")
        flag = "†" if interval_flag(row, self.metric) else ""
        verdict = self.marks.get((text(row, "model"), text(row, "estimator"), curve, slot))
        mark = SIGNS[verdict] if verdict else " " * bool(self.marks)
        style = "bold " if (curve, slot) in self.tied_with_best else ""
        style += "green" if verdict == "better" else ""
        star = "*" if value == best else " "
        return Text(f"{shown_number(self.metric, value)}{flag}{star}{mark}", style=style)

    def table(self, width: int, plain: bool) -> tuple[Table, int]:
        """Return a table of ``width`` letters (>= 30), and the number of budgets left out of it."""
        slots = sorted({slot for _, slot in self.cells})
        values = {curve: [self.value(curve, slot) for slot in slots] for curve, _ in self.cells}
        loss = find(self.metric).loss
        # by the value at the largest budget, then at the one before, and so on
        curves = sorted(
            values,
            key=lambda curve: [math.inf if v is None else loss(v) for v in values[curve][::-1]],
        )
        columns, widths = {}, {}
        for place, slot in enumerate(slots):
            known = (row[place] for row in values.values())
            best = min((value for value in known if value is not None), key=loss, default=None)
            column = [_writable_text(self.cell(curve, slot, best), plain) for curve in curves]
            columns[slot], widths[slot] = column, max(len(str(slot)), *(x.cell_len for x in column))
        names = [_writable_text(Text(curve), plain) for curve in curves]
        longest = max((name.cell_len for name in names), default=0)
        strips = _spread_budgets(slots, _SPARK if width >= _WIDE else 0)
        free = width - len(strips) - 2 * _GAP - 1

        def width_of(chosen: Sequence[int]) -> int:
            return sum(widths[slot] + _GAP for slot in chosen)

        candidates = (_spread_budgets(slots, room) for room in range(len(slots), 1, -1))
        room = free - min(longest, _NAME)
        fitting = (chosen for chosen in candidates if width_of(chosen) <= room)
        heads = next(fitting, _spread_budgets(slots, 2))
        ends = positive_range(value for row in values.values() for value in row)
        grid = Table(pad_edge=False, padding=(0, 1, 0, 0), box=None if plain else box.SIMPLE)
        name_width = max(min(longest, free - width_of(heads)), _SHORTEST_NAME)
        grid.add_column("sampler", width=name_width, overflow="fold")
        grid.add_column("", width=len(strips), no_wrap=True)
        for slot in heads:
            grid.add_column(str(slot), justify="right", no_wrap=True, width=widths[slot])
        for place, curve in enumerate(curves):
            strip = Text(sparkline([self.value(curve, slot) for slot in strips], ends))
            row = (columns[slot][place] for slot in heads)
            grid.add_row(names[place], _writable_text(strip, plain), *row)
        return grid, len(slots) - len(heads)


def print_table(
    table: ResultTable,
    console: Console,
    *,
    metric: str | None = None,
    home: Path | None = None,
    baseline: str = "",
    marks: Marks | None = None,
) -> None:
    """Print a ranking for each model: a line for each sampler, a column for each budget.

    The report's opening sentences come first, if the ranking is by the model's default quantity.
    The best value of a column has a star. Values not shown to be worse are bold. Samplers are
    sorted by their value at the largest budget. Budgets that do not fit are left out evenly, and
    counted. ``marks`` are verdicts against ``baseline``. ``home`` is the run directory. A model's
    legend is left out if it equals that of the model before.
    """
    plain = console.options.ascii_only or console.is_dumb_terminal
    homes = {"": home} if home else None
    tied = best_curve_budgets(table.frame, metric, homes)
    findings = findings_of(table.frame, homes, baseline or BASELINE).by_title
    last_legend: list[str] = []
    for title, rows in comparable_parts(table.frame):
        default = default_quantity(rows_as_dicts(rows.loc[rows["status"] == "ok"]))
        column = metric or (default.name if default else "fid_proxy")
        # a row with a value stands before one that has more evaluations and no value
        measured = rows.loc[rows["status"] == "ok"].dropna(subset=[column])
        cells = rows_by_curve_budget(rows) | rows_by_curve_budget(measured)
        ranking = Ranking(column, cells, marks or {}, tied[title])
        grid, hidden = ranking.table(console.width, plain)
        heading = _writable_text(Text(title, style="bold"), plain)
        console.print(heading, soft_wrap=not console.is_terminal)
        finding = findings[title]
        if finding and finding.quantity.name == column:
            for sentence in lead_sentences(finding, headline_of_problem(rows)):
                console.print(_writable_text(Text(sentence), plain))
        console.print(grid, end="")
        quantity = find(column)
        legend = [f"{column} by NFE budget, {quantity.better} is better; * {quantity.best}"]
        if any(interval_bounds(row, column) for row in ranking.cells.values()):
            legend[0] += ", bold: level with it (no significant difference), † unreliable interval"
        if console.width >= _WIDE:
            legend.append(f"bars: {'error' if quantity.lower else 'value'} by budget")
        if marks:
            signs = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
            legend.append(f"against {baseline}: {signs}")
        if any(is_below_zero(column, ranking.value(*place)) for place in ranking.cells):
            legend.append(BELOW_NOTE)
        notes = [] if legend == last_legend else [*legend]
        last_legend = legend
        if hidden:
            notes.append(f"budgets not shown: {hidden}")
        shown = (row["status"] for row in ranking.cells.values())
        finished = [list(part).count("ok") for part in (rows["status"], shown)]
        if left_out := finished[0] - finished[1]:
            notes.append(f"{LEFT_OUT}: {left_out}")
        if notes:
            console.print(_writable_text(Text("; ".join(notes), style="dim"), plain))
        console.print()
    counts = table.frame.loc[table.frame["status"] != "ok", "status"].value_counts()
    if len(counts):
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        console.print(Text(f"Rows without results: {listed}", style="dim"))


def _writable_text(words: Text, plain: bool) -> Text:
    """Return words without control characters; in ASCII only if ``plain`` is True."""
    plain_text = strip_control_characters(words.plain)
    if plain:
        plain_text = plain_text.translate(PLAIN).encode("ascii", "backslashreplace").decode()
    return Text(plain_text, style=words.style)


def _spread_budgets(slots: Sequence[int], room: int) -> list[int]:
    """Return up to ``room`` budgets, evenly spread from first to last; [] if two do not fit."""
    if len(slots) <= room:
        return list(slots)
    if room < 2:
        return []
    return [slots[round(index * (len(slots) - 1) / (room - 1))] for index in range(room)]


def verdicts_of(
    run: Path | str, metric: str | None = None, baseline: str | None = None
) -> tuple[str, Marks]:
    """Return the baseline's name, and verdicts on a run's rows that can be compared with it.

    ``metric`` None stands for each model's default quantity, ``baseline`` None for
    :data:`..comparison.findings.BASELINE`. If there are no verdicts, the returned name is "".

    Raises:
        ValueError: ``baseline`` is given, and has no rows, or ``metric`` has no verdicts or values.
    """
    names = [quantity.name for quantity in judged()]
    if metric is not None and metric not in names:
        if baseline is None:
            return "", {}
        raise ValueError(
            f"{metric} has no verdicts against {baseline}; choose --metric from {', '.join(names)}"
        )
    try:
        lines = compare_with(run, baseline or BASELINE, metrics=[metric] if metric else ()).lines
    except ValueError:
        if baseline is not None:
            raise
        return "", {}
    placed = ((line, line.budget) for line in lines if line.budget is not None)
    marks: Marks = {(x.model, x.estimator, x.sampler, at): x.verdict for x, at in placed}
    return (baseline or BASELINE) if marks else "", marks
