"""Single values of a table: whether they are empty, and rows as plain dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .record import Record

if TYPE_CHECKING:
    import pandas as pd


def is_empty(value: object) -> bool:
    """Return True if a value is empty: None, ``pd.NA`` or NaN."""
    # by its name: workers import this module, and need no pandas, which takes 0.4 s
    return value is None or type(value).__name__ == "NAType" or value != value


def rows_as_dicts(frame: pd.DataFrame) -> list[Record]:
    """Return the rows as dictionaries of plain Python values, with None for what is empty."""
    names = [str(name) for name in frame.columns]
    # at once: column by column takes several times as long
    values = frame.to_numpy(dtype=object, na_value=None).tolist()
    return [dict(zip(names, row, strict=True)) for row in values]


def rows_by_index(frame: pd.DataFrame) -> dict[int, Record]:
    """Return the rows of :func:`rows_as_dicts` by their index in the frame."""
    return dict(zip(map(int, frame.index), rows_as_dicts(frame), strict=True))


def number(row: Record, name: str) -> float | None:
    """Return a row's value as a float; None if it is empty or there is no such column."""
    value = row.get(name)
    return None if value is None else float(value)  # pyright: ignore[reportArgumentType]


def text(row: Record, name: str) -> str:
    """Return a row's value as text; "" if it is empty or there is no such column."""
    value = row.get(name)
    return "" if value is None else str(value)
