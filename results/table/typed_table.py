"""Table with typed columns and rows in canonical order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from ..columns import Kind
from ..quantities import column_kinds
from ..text import name_hint
from ..values import Record, is_empty

DTYPES: dict[Kind, str] = {
    "text": "string",
    "integer": "Int64",
    "number": "Float64",
    "flag": "boolean",
}
"""Pandas dtype of each kind of column."""


def _cells(values: Iterable[object]) -> list[object]:
    """Return values with None in place of empty ones (``pd.NA``, NaN and "")."""
    return [None if is_empty(value) or value == "" else value for value in values]


def _typed_array(cells: list[object], kind: Kind | None = None, name: str = "") -> ExtensionArray:
    """Return cells as a pandas array of a kind (None: one that fits all). Texts are converted."""
    kind = _kind_of_values(cells) if kind is None else kind
    data = [None if cell is None else _typed_value(cell, kind, name) for cell in cells]
    return pd.array(data, dtype=DTYPES[kind])


def why_misfit(value: object, kind: Kind, name: str) -> str:
    """Return a clause on why a value from a file does not fit its column; "" if it fits."""
    if value is None:
        return ""
    try:
        if isinstance(value, list | dict):
            raise TypeError(value)
        str(_typed_value(value, kind, name)).encode()
    except (ValueError, TypeError):
        return _misfit_in_words(value, kind, name)
    return ""


def _typed_value(cell: object, kind: Kind, name: str) -> object:
    try:
        return _READ[kind](cell)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(_misfit_in_words(cell, kind, name)) from error


def _misfit_in_words(value: object, kind: Kind, name: str) -> str:
    return f"column {name} holds {repr(value)[:60]}, which is no {kind} that a table has room for"


def _to_int64(value: object) -> int:
    """Return a whole number of 64 bits. Raises a ValueError or OverflowError for other values."""
    if isinstance(value, str) and "." in value:  # as pandas writes a column with empty cells
        value = float(value)
    whole = int(value) if isinstance(value, str | int | np.integer) else int(float(value))  # pyright: ignore[reportArgumentType]
    if not -(2**63) <= whole < 2**63 or (not isinstance(value, str) and whole != value):
        raise ValueError(value)
    return whole


def parse_text(value: str) -> object:
    """Return the integer, float or flag that a text looks like, else the text."""
    for read in (int, float) if "_" not in value else ():  # Python reads 1_000 as a number
        try:
            return read(value)
        except ValueError:
            continue
    return _FLAGS.get(value, value)


_FLAGS = {"True": True, "False": False, "TRUE": True, "FALSE": False}
"""Flags as Python and spreadsheets write them."""


_KINDS: dict[str, Kind] = {"boolean": "flag", "integer": "integer"}
_KINDS |= dict.fromkeys(("floating", "mixed-integer-float"), "number")


def _kind_of_values(cells: list[Any]) -> Kind:
    kind = _KINDS.get(pd.api.types.infer_dtype(cells), "text")
    fits = all(cell is None or -(2**63) <= cell < 2**63 for cell in cells if kind == "integer")
    return kind if fits else "number"


_READ: dict[Kind, Callable] = {
    "text": str,
    "number": float,
    "integer": _to_int64,
    "flag": lambda value: _FLAGS[value] if isinstance(value, str) else bool(value),
}

ORDER = (
    *("suite", "model", "schedule", "start", "end", "sampler", "params"),
    *("budget", "steps", "nfe", "samples", "seed", "device", "dtype", "batch_size"),
)
"""Columns that rows are sorted by, empty values last. Unknown text columns follow."""


@dataclass(frozen=True)
class TypedTable:
    """Table: a ``frame`` with typed columns, known ones first, and rows sorted by :data:`ORDER`."""

    frame: pd.DataFrame

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the table of ``records``. Known columns that no record has are empty."""
        rows = list(records)
        names = dict.fromkeys(name for row in rows for name in row)
        return cls._of_columns({name: [row.get(name) for row in rows] for name in names}, len(rows))

    @classmethod
    def typed(cls, frame: pd.DataFrame) -> Self:
        """Return the table with the data of ``frame``, which may have any types and order."""
        return cls._of_columns({name: frame[name] for name in frame.columns}, len(frame))

    @classmethod
    def _of_columns(cls, columns: Mapping[str, Iterable[object]], count: int) -> Self:
        """Return the table with ``columns``, by name, of ``count`` values each."""
        kinds = column_kinds()
        none: list[object] = [None] * count
        # older tables have one flag for both
        columns = {"fd_conv_flag": columns.get("fid_flag", none), **columns}
        extra = [name for name in columns if name not in kinds]
        cells = {name: _cells(values) for name, values in columns.items()}
        empty = {kind: _typed_array(none, kind) for kind in DTYPES}
        arrays = {
            name: _typed_array(cells[name], kind, name) if name in cells else empty[kind]
            for name, kind in kinds.items()
        }
        arrays |= {name: _typed_array(cells[name], name=str(name)) for name in extra}
        texts = (name for name in extra if pd.api.types.is_string_dtype(arrays[name]))
        by = [name for name in (*ORDER, *texts) if name in cells]
        typed = pd.DataFrame(arrays)
        if by:
            typed = typed.sort_values(by, kind="stable", na_position="last", ignore_index=True)
        return cls(typed)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    @property
    def ok(self) -> Self:
        """Table of the rows with results (status "ok")."""
        return self._with_rows(self._rows_equal_to("status", "ok"))

    def where(self, **equal: object) -> Self:
        """Return the rows with given values in given columns, as in ``where(sampler="heun")``.

        The table is empty if no row has all the values together.

        Args:
            equal: value by column, or several in a list, tuple or set; None means empty.

        Raises:
            ValueError: there is no such column, or no row has one of the values. The message names
                existing columns or values.
        """
        check_columns(self.frame, *equal)
        keep = pd.Series(True, index=self.frame.index)
        for name, value in equal.items():
            matches = pd.Series(False, index=self.frame.index)
            for item in value if isinstance(value, list | tuple | set | frozenset) else [value]:
                rows = self._rows_equal_to(name, item)
                if len(self) and not bool(rows.any()):
                    values = sorted(map(str, self.frame[name].dropna().unique()))
                    hint = f"; {name_hint(str(item), values)}" if values else ""
                    raise ValueError(f"no row has {name} = {item!r}{hint}")
                matches |= rows
            keep &= matches
        return self._with_rows(keep)

    def _rows_equal_to(self, name: str, value: object) -> pd.Series:
        column = self.frame[name]
        equal = column.isna() if value is None else (column == value).fillna(False)
        return pd.Series(equal, dtype=bool)

    def _with_rows(self, keep: pd.Series) -> Self:
        return type(self)(self.frame.loc[keep].reset_index(drop=True))


def check_columns(frame: pd.DataFrame, *names: str) -> None:
    """Raise a ValueError, which names existing columns, if ``frame`` lacks one of ``names``."""
    for name in names:
        if name not in frame:
            hint = name_hint(name, filled_columns(frame) or map(str, frame.columns))
            raise ValueError(f"the table has no column {name!r}; {hint}")


def filled_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns that are not empty."""
    return [str(name) for name in frame.columns[frame.notna().any()]]
