"""All columns of the result table, in order: what a row is, what was measured, how it came
about.
"""

from __future__ import annotations

from .quantities import quantities
from .record import AROUND, ROW, Column, Kind


def columns() -> tuple[Column, ...]:
    """The columns that are known here, those of installed metrics among them."""
    measured = (column for quantity in quantities() for column in quantity.columns)
    return (*ROW, *measured, *AROUND)


def names() -> tuple[str, ...]:
    """Their names."""
    return tuple(column.name for column in columns())


def kinds() -> dict[str, Kind]:
    """What each holds."""
    return {column.name: column.kind for column in columns()}
