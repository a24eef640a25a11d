"""What the axes are called, and where the ground of a metric lies."""

from __future__ import annotations

from statistics import median

import pandas as pd

from ..quantities import find, quantities
from ..record import Record
from ..values import empty, number

AXES = {
    "nfe": "Network evaluations per sample",
    "steps": "Steps",
    "budget": "Budget of network evaluations per sample",
    "ms_per_sample": "Milliseconds per sample",
    "joules_per_sample": "Joules per sample",
}

COSTS = ("nfe", "ms_per_sample", "joules_per_sample", "steps")
"""Columns that can be the horizontal axis."""


def plottable(frame: pd.DataFrame) -> list[str]:
    """The metrics, lower being better, that have a positive value in a table."""
    named = [quantity.name for quantity in quantities() if quantity.axis and quantity.name in frame]
    return [name for name in named if any(not empty(value) and float(value) > 0 for value in frame[name])]


def title_of(column: str) -> str:
    """The title of an axis."""
    return AXES.get(column) or find(column).axis or column


def short_title(column: str) -> str:
    """The title of a column of numbers."""
    return find(column).short or column


def floor_of(metric: str, rows: list[Record]) -> tuple[float, str] | None:
    """The level and its label; None where a metric has none, or the rows do not say."""
    floor = find(metric).floor
    if floor is None:
        return None
    values = [value for row in rows if (value := number(row, floor.column)) is not None and value > 0]
    return (floor.factor * median(values), floor.meaning) if values else None
