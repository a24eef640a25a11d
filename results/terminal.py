"""The table in a terminal: who is best at each budget, readable at 80 columns and without colour."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .curves import problems
from .record import Record
from .table import ResultTable
from .text import short
from .values import number, rows_of, text

SHORT_STATUS = {"failed": "failed", "diverged": "diverg.", "skipped": "skipped", "missing": "…"}
_NAME, _CELL = 22, 9


def print_table(table: ResultTable, console: Console, *, metric: str = "fid_proxy") -> None:
    """Print a ranking for each model: a line for each sampler, a column for each budget.

    The smallest value of a column has a star. Samplers are ordered by their value at the largest budget. Budgets that do not fit the
    width are left out, evenly, and counted; the first and the last always stay.

    Args:
        table: what to print.
        console: where to.
        metric: column to rank by; lower is better.
    """
    for title, rows in problems(table.frame):
        ranking, hidden = _ranking(title, rows, metric, console.width)
        console.print(ranking, end="")
        note = f"{metric} by NFE budget, lower is better; * best, † interval flagged" + (f"; budgets not shown: {hidden}" if hidden else "")
        console.print(Text(note, style="dim"), end="\n\n")
    not_ok = table.frame.loc[table.frame["status"] != "ok", "status"].value_counts()
    if len(not_ok):
        console.print(Text("Rows without results: " + ", ".join(f"{count} {status}" for status, count in not_ok.items()), style="dim"))


def _ranking(title: str, rows: pd.DataFrame, metric: str, width: int) -> tuple[Table, int]:
    cells = {(text(row, "curve"), slot): row for row in rows_of(rows.sort_values("nfe")) if (slot := number(row, "slot")) is not None}
    slots = sorted({slot for _, slot in cells})
    shown = _spread(slots, max(2, (width - _NAME) // _CELL))
    best = {slot: min(values, default=None) for slot in shown for values in [_values(cells, slot, metric)]}
    ranking = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    curves = sorted({curve for curve, _ in cells}, key=lambda curve: _rank(curve, cells, slots, metric))
    room = max(_NAME, min(1 + max(map(len, curves), default=0), width - (_CELL + 2) * len(shown)))  # names take what numbers leave
    ranking.add_column("sampler", width=room - 1, no_wrap=True, overflow="ellipsis")
    for slot in shown:
        ranking.add_column(f"{slot:.0f}", justify="right", no_wrap=True, min_width=_CELL - 2)
    for curve in curves:
        ranking.add_row(Text(curve), *(_shown(cells.get((curve, slot)), metric, best[slot]) for slot in shown))
    return ranking, len(slots) - len(shown)


def _values(cells: dict[tuple[str, float], Record], slot: float, metric: str) -> list[float]:
    values = (number(row, metric) for (_, at), row in cells.items() if at == slot and row["status"] == "ok")
    return [value for value in values if value is not None]


def _rank(curve: str, cells: dict[tuple[str, float], Record], slots: list[float], metric: str) -> tuple[float, ...]:
    """Sort key: the value at the largest budget, then at the one before, …; a missing value is worst."""
    values = (number(cells.get((curve, slot), {}), metric) for slot in reversed(slots))
    return tuple(float("inf") if value is None else value for value in values)


def _shown(row: Record | None, metric: str, best: float | None) -> Text:
    if row is None:
        return Text("·", style="dim")
    value = number(row, metric)
    if row["status"] != "ok" or value is None:
        return Text(SHORT_STATUS.get(text(row, "status"), "–"), style="dim")
    flag = "†" if metric.startswith("fid") and row.get("fid_flag") else ""
    return Text(f"{short(value)}{flag}*", style="bold green") if value == best else Text(f"{short(value)}{flag} ")


def _spread(slots: list[float], room: int) -> list[float]:
    """At most ``room`` of the budgets, evenly spread, with the first and the last."""
    if len(slots) <= room:
        return slots
    return [slots[round(index * (len(slots) - 1) / (room - 1))] for index in range(room)]
