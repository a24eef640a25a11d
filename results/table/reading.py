"""Tables read from run directories, and from CSV and Parquet files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from pyarrow.parquet import ParquetFile

from ..escaping import csv_text
from ..quantities import column_kinds
from ..run_directory.files import read_regular
from ..run_directory.reading import log
from ..run_directory.run_dir import RunDir
from .dtypes import parsed
from .run_rows import rows_of_run
from .typed_table import TypedTable

NEEDED = ("model", "sampler", "nfe", "status")
"""Columns without which a file is no table of results."""

LARGEST, MOST_ROWS = 256 << 20, 1_000_000
"""Bytes of a file, and rows of a Parquet file, which says a column of equal values in a few bytes."""


def read_table(paths: Path | str | Sequence[Path | str]) -> TypedTable:
    """The table of one run or of several, as :func:`..result_table.load` describes it.

    Raises:
        ValueError: a path is none of these.
    """
    sources = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    tables = [_read_one(path) for path in sources]
    if len(tables) == 1:
        return tables[0]
    frames = [
        table.frame.assign(run=name).astype(object)
        for name, table in zip(run_names(sources), tables, strict=True)
    ]
    return TypedTable.typed(pd.concat(frames, ignore_index=True) if frames else pd.DataFrame())


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of several runs in the column ``run``: their last folders, or the whole
    paths where two of these are equal.
    """
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _read_one(path: Path) -> TypedTable:
    # what is left of a run when its samples are gone
    if not (path / "parts").is_dir() and (path / "table.csv").is_file():
        path = path / "table.csv"
    if path.is_file() and path.suffix == ".csv":
        return read_csv(path)
    if path.is_file() and path.suffix == ".parquet":
        return read_parquet(path)
    run = RunDir.open(path)
    if run.old and any((run.path / "parts").iterdir()):
        log.warning(
            "%s was made before parts of a run were sealed: nothing proves what made its rows.",
            path,
        )
    return TypedTable.of(rows_of_run(run))


def read_csv(path: Path | str) -> TypedTable:
    """The table in a ``table.csv``; columns that are not known are typed by what they look like.

    Raises:
        ValueError: the file holds no such table.
    """

    def read() -> pd.DataFrame:
        text = io.BytesIO(read_regular(Path(path), LARGEST))
        frame = pd.read_csv(text, dtype=str, keep_default_na=False, encoding="utf-8")
        frame = frame.assign(
            **{
                name: frame[name].map(parsed)
                for name in frame.columns
                if name not in column_kinds()
            }
        )
        return frame.map(lambda value: csv_text(value) if isinstance(value, str) else value)

    return _read_file(path, read)


def read_parquet(path: Path | str) -> TypedTable:
    """The table in a ``table.parquet``.

    Raises:
        ValueError: the file holds no such table.
    """

    def read() -> pd.DataFrame:
        content = io.BytesIO(read_regular(Path(path), LARGEST))
        if (rows := ParquetFile(content).metadata.num_rows) > MOST_ROWS:
            raise ValueError(f"it has {rows:,} rows")
        return pd.read_parquet(content)

    return _read_file(path, read)


def _read_file(path: Path | str, read: Callable[[], pd.DataFrame]) -> TypedTable:
    """The table that ``read`` finds in a file, or a sentence that names the file."""
    try:
        frame = read()
    except FileNotFoundError:
        raise
    except Exception as error:  # a file of anything can raise anything
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise ValueError(
            f"{path} cannot be read as a table ({why}); give a table.csv or table.parquet of a run"
        ) from error
    if lacking := [name for name in NEEDED if name not in frame]:
        raise ValueError(
            f"{path} is no table of results: it has no column {' and no '.join(lacking)}; "
            "give the table of a run"
        )
    try:
        return TypedTable.typed(frame)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
