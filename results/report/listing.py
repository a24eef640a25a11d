"""The table of all rows: which columns it shows, and what is the same in all rows and so said only once."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..record import COLUMNS, Record
from ..text import Z95, short
from ..values import empty, number, rows_of, text

MARKS = {"ok": "✓", "failed": "✗", "diverged": "∞", "skipped": "→", "missing": "…"}
"""Status marks, beside the word."""

_WITH_SE = {"fid_proxy": "fid_proxy_se", "fd_conv": "fd_conv_se", "rmse": "rmse_se"}
_HIDDEN = {*_WITH_SE.values(), "fid_flag", "status", "reason", "cell", "suite"}


@dataclass(frozen=True)
class Head:
    """A column: its name, what it means, and whether it holds numbers."""

    name: str
    meaning: str
    numeric: bool


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number to sort it by (None: sort by the text)."""

    shown: str
    key: float | None


@dataclass(frozen=True)
class Line:
    """A row: its cells, status, and why it has no numbers or a flagged one; ``where`` tells it from the other rows of its sampler."""

    cells: tuple[Cell, ...]
    status: str
    mark: str
    reason: str
    model: str
    sampler: str
    where: str


@dataclass(frozen=True)
class Listing:
    """All rows. ``same`` holds (name, value) of the columns that do not vary."""

    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    same: tuple[tuple[str, str], ...]


def listing_of(frame: pd.DataFrame) -> Listing:
    """The listing of a table."""
    kinds = {column.name: column for column in COLUMNS}
    done = frame.loc[frame["status"] == "ok"]
    heads, same = [], []
    for name in frame.columns:
        values = {value for value in frame[name] if not empty(value)}
        if name in _HIDDEN or not values:
            continue
        if len(values) == 1 and len(frame) > 1 and name not in ("model", "sampler") and not done[name].isna().to_numpy().any():
            same.append((name, short(float(next(iter(values)))) if str(frame[name].dtype) == "Float64" else str(next(iter(values)))))
            continue
        meaning = kinds[name].meaning if name in kinds else "column of a plugin or a newer version"
        heads.append(Head(name, meaning, str(frame[name].dtype) in ("Int64", "Float64")))
    return Listing(tuple(heads), tuple(_line(row, heads) for row in rows_of(frame)), tuple(same))


def _line(row: Record, heads: list[Head]) -> Line:
    status = text(row, "status")
    where = ", ".join(f"{name} {text(row, name)}" for name in ("params", "schedule", "budget", "steps", "seed") if text(row, name))
    cells = tuple(_cell(row, head) for head in heads)
    flag = text(row, "fid_flag")
    reason = text(row, "reason") or (f"† {flag}" if flag else "")
    return Line(cells, status, MARKS.get(status, "?"), reason, text(row, "model"), text(row, "sampler"), where)


def _cell(row: Record, head: Head) -> Cell:
    if not head.numeric:
        return Cell(text(row, head.name), None)
    value = number(row, head.name)
    se = number(row, _WITH_SE[head.name]) if head.name in _WITH_SE else None
    shown = "" if value is None else str(row[head.name]) if isinstance(row[head.name], int) else short(value)
    flag = "†" if head.name == "fid_proxy" and value is not None and row.get("fid_flag") else ""
    return Cell(shown + (f" ± {short(Z95 * se, 2)}" if se is not None else "") + flag, value)
