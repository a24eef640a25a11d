"""The report's table of all rows: its columns, its lines, and values that all rows share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from ..comparison.verdicts import Line as JudgedLine
from ..printed_values import interval_flag, value_plus_minus
from ..quantities import columns, flags, quantities
from ..text import format_number
from ..values import Record, number, rows_by_index, text

MARKS = {"ok": "✓", "diverged": "∞", "skipped": "→", "missing": "…"} | dict.fromkeys(
    ("failed", "crashed", "timed out", "killed"), "✗"
)
"""Mark of each status, shown next to the status."""

BEFORE = (
    *("run", "model", "sampler", "params", "schedule", "start", "end", "noise", "sigma_max"),
    *("seed", "dtype", "execution", "budget", "steps", "nfe"),
)
AFTER = ("ms_per_sample", "overhead", "joules_per_sample")
"""Columns of the table before and after the measured quantities."""

_NEVER_CONSTANT = ("status", "reason", "cell", "suite")


def table_columns() -> list[str]:
    """Return the columns of the table of all rows. A floor of perfect samples follows its quantity."""
    measured = []
    for quantity in quantities():
        if quantity.listed:
            measured.append(quantity.name)
            if quantity.floor and quantity.floor.perfect:
                measured.append(quantity.floor.column)
    return [*BEFORE, *measured, *AFTER]


class ColumnHead(NamedTuple):
    """Head of a column: its name, its meaning, and whether it holds numbers."""

    name: str
    meaning: str
    numeric: bool


ListingCell = tuple[str, float | None]
"""Cell of the table: its text, and the number to sort it by (None: sort by the text)."""


class ListedRow(NamedTuple):
    """Row as a line of the table; ``where`` has options, schedule, budget, steps, seed in words."""

    row: Record
    cells: list[ListingCell]
    reason: str
    where: str
    verdict: JudgedLine | None


class Listing(NamedTuple):
    """Table of all rows. ``same`` has, by name, the values of columns in which no rows differ."""

    heads: list[ColumnHead]
    lines: list[ListedRow]
    same: dict[str, str]
    metric: str


def listing_of(frame: pd.DataFrame, verdicts: Mapping[int, JudgedLine] | None = None) -> Listing:
    """Return the table of all rows of a frame; ``verdicts`` are by row index."""
    columns_by_name = {column.name: column for column in columns()}
    indexed = rows_by_index(frame)
    rows = list(indexed.values())
    same = {name: value for name in frame.columns if (value := _shared_value(rows, name))}
    heads = []
    for name in table_columns():
        if name not in same and any(row.get(name) is not None for row in rows):
            column = columns_by_name.get(name)
            meaning = column.meaning_and_unit if column else "the run"
            heads.append(ColumnHead(name, meaning, str(frame[name].dtype) in ("Int64", "Float64")))
    by_index = verdicts or {}
    lines = [_listed_row(row, heads, by_index.get(index)) for index, row in indexed.items()]
    return Listing(heads, lines, same, _metrics_in_words(by_index.values()))


def _metrics_in_words(verdicts: Iterable[JudgedLine]) -> str:
    """Return the metric of verdicts, or each metric with its models if they differ; "" for none."""
    models: dict[str, dict[str, None]] = {}
    for line in verdicts:
        models.setdefault(line.metric, {})[line.model] = None
    if len(models) <= 1:
        return "".join(models)
    return ", ".join(f"{metric} ({', '.join(names)})" for metric, names in models.items())


def _shared_value(rows: list[Record], name: str) -> str:
    """Return the value that all rows share as text; "" if it varies, or is listed for every row."""
    if len(rows) < 2 or name in (*_NEVER_CONSTANT, *flags().values(), "model", "sampler"):
        return ""
    values = {row[name] for row in rows} - {None}
    if len(values) != 1 or any(row[name] is None for row in rows if row["status"] == "ok"):
        return ""
    (value,) = values
    return format_number(value) if isinstance(value, float) else str(value)


def _listed_row(row: Record, heads: list[ColumnHead], verdict: JudgedLine | None) -> ListedRow:
    names = ("params", "schedule", "budget", "steps", "seed")
    where = ", ".join(f"{name} {value}" for name in names if (value := text(row, name)))
    # quantities may share flags: each is named once
    why = dict.fromkeys(
        part
        for name in (*flags(), "ms_per_sample")
        for part in interval_flag(row, name).split("; ")
        if part
    )
    reason = text(row, "reason") or (f"† {'; '.join(why)}" if why else "")
    return ListedRow(row, [_listing_cell(row, head) for head in heads], reason, where, verdict)


def _listing_cell(row: Record, head: ColumnHead) -> ListingCell:
    if not head.numeric:
        return text(row, head.name), None
    value = number(row, head.name)
    if value is None:
        return "", None
    words = (
        str(row[head.name]) if isinstance(row[head.name], int) else value_plus_minus(row, head.name)
    )
    flag = "†" if interval_flag(row, head.name) else ""
    return words + flag, float(f"{value:.7g}")
