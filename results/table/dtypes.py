"""Columns of Python values as pandas columns of a fixed type, with ``pd.NA`` for what is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from ..record import Kind
from ..values import empty

DTYPES: dict[Kind, str] = {
    "text": "string",
    "integer": "Int64",
    "number": "Float64",
    "flag": "boolean",
}
"""The pandas dtype of each kind of column."""


def column(values: Iterable[object], kind: Kind | None = None, name: str = "") -> pd.Series:
    """``values`` (numbers, flags, texts, or texts of these) as a column.

    None, NaN and the empty string are empty.

    Args:
        values: one a row.
        kind: what they are; None to go by their Python types.
        name: of the column, for what is wrong with it.

    Raises:
        ValueError: a value is not of the kind, or an integer that has no room in 64 bits.
    """
    cells = [None if empty(value) or value == "" else value for value in values]
    kind = _kind_of_all(cells) if kind is None else kind
    data = [None if cell is None else _read(cell, kind, name) for cell in cells]
    return pd.Series(pd.array(data, dtype=DTYPES[kind]))  # pyright: ignore[reportArgumentType, reportCallIssue]


def misfit(value: object, kind: Kind, name: str) -> str:
    """Return the fault of a value of a file in a column, as a clause; "" if there is none."""
    if value is None or (
        type(value) in _PLAIN[kind] and not (isinstance(value, str) and not value.isascii())
    ):
        return ""
    try:
        if isinstance(value, list | dict):
            raise TypeError(value)
        str(_read(value, kind, name)).encode()
    except (ValueError, TypeError):
        return (
            f"column {name} holds {repr(value)[:60]}, which is no {kind} that a table has room for"
        )
    return ""


def _read(cell: object, kind: Kind, name: str) -> object:
    try:
        return _READ[kind](cell)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"column {name} holds {repr(cell)[:60]}, which is no {kind} that a table has room for"
        ) from error


def _integer(value: object) -> int:
    """A whole number of 64 bits.

    Raises:
        ValueError: it is none, or larger.
        OverflowError: it is infinite.
    """
    whole = int(value) if isinstance(value, str | int | np.integer) else int(float(value))  # pyright: ignore[reportArgumentType]
    if not -(2**63) <= whole < 2**63 or (isinstance(value, float) and whole != value):
        raise ValueError(value)
    return whole


def parsed(value: str) -> object:
    """The number or flag that a text looks like, or the text."""
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(value, value)


def _kind_of_all(cells: list[object]) -> Kind:
    kinds: set[Kind] = {_kind(cell) for cell in cells if cell is not None}
    if kinds == {"number", "integer"}:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "text"


def _kind(value: object) -> Kind:
    if isinstance(value, bool | np.bool_):
        return "flag"
    if isinstance(value, int | np.integer):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    return "number" if isinstance(value, float | np.floating) else "text"


_READ: dict[Kind, Callable] = {
    "text": str,
    "number": float,
    "integer": _integer,
    "flag": lambda value: value == "True" if isinstance(value, str) else bool(value),
}

_PLAIN: dict[Kind, tuple[type, ...]] = {
    "text": (str,),
    "number": (float,),
    "integer": (),
    "flag": (bool,),
}
"""The types of nearly all values, which need no further look."""
