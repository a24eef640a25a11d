"""Rows of a table as dictionaries, their values as numbers and texts, and tests for emptiness."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, object]
"""Row: values by column name. An empty value is None or absent."""


def is_empty(value: object) -> bool:
    """Return True if a value is empty: None, ``pd.NA`` or NaN."""
    # pd.NA by the name of its type: importing pandas would cost workers 0.4 s
    return value is None or type(value).__name__ == "NAType" or value != value


def rows_as_dicts(frame: pd.DataFrame) -> list[Record]:
    """Return a dictionary of plain Python values for each row, with None for empty values."""
    names = [str(name) for name in frame.columns]
    # the whole frame at once: column by column is several times as slow
    values = frame.to_numpy(dtype=object, na_value=None).tolist()
    return [dict(zip(names, row, strict=True)) for row in values]


def rows_by_index(frame: pd.DataFrame) -> dict[int, Record]:
    """Return the dictionaries of :func:`rows_as_dicts` by the index of their row."""
    return dict(zip(map(int, frame.index), rows_as_dicts(frame), strict=True))


def number(row: Record, name: str) -> float | None:
    """Return a row's value in column ``name`` as a float; None if it is empty or absent."""
    value = row.get(name)
    return None if value is None else float(value)  # pyright: ignore[reportArgumentType]


def text(row: Record, name: str) -> str:
    """Return a row's value in column ``name`` as text; "" if it is empty or absent."""
    value = row.get(name)
    return "" if value is None else str(value)
