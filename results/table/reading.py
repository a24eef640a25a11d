"""Reading tables from run directories, and from CSV and Parquet files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pyarrow.parquet import ParquetFile

from ..columns import Kind
from ..quantities import column_kinds
from ..run_directory.behaviour_fingerprint import differing_models
from ..run_directory.files import read_regular
from ..run_directory.layout import CELL, QUALITY, TIMING
from ..run_directory.reading import log, read_run_record
from ..run_directory.run_dir import RunDir
from ..run_directory.sealed import DamagedError
from ..text import unquote_csv_text
from ..values import Record
from .typed_table import TypedTable, parse_text, why_misfit

NEEDED = ("model", "sampler", "nfe", "status")
"""Columns that every table of results has."""

LARGEST, MOST_ROWS = 256 << 20, 1_000_000
"""Most bytes of a file, and most rows of a Parquet file, which may have many in few bytes."""


def read_table(paths: Path | str | Sequence[Path | str]) -> TypedTable:
    """Return the table of one run or of several, as :func:`..result_table.load` describes."""
    sources = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    tables = [_read_run_or_file(path) for path in sources]
    if len(tables) == 1:
        return _without_copies(tables[0]) if sources[0].is_file() else tables[0]
    frames = []
    for name, table, models in zip(run_names(sources), tables, _models_apart(sources), strict=True):
        frame = table.frame
        run = (f"{name}/" + frame["run"].astype("string")).fillna(name) if "run" in frame else name
        frames.append(frame.assign(run=run).astype(object).replace({"model": models}))
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return _without_copies(TypedTable.typed(whole))


def _models_apart(sources: Sequence[Path]) -> list[dict[str, str]]:
    """Return, for each run, new names of its models that other runs have another model under.

    A new name has the first run with this very model.
    """
    records = [read_run_record(path) for path in sources]
    apart: list[dict[str, str]] = []
    for record in records:
        differing = [differing_models(record, other) for other in records]
        runs = [
            (name, (other.get("models") or {}).keys() - change.keys())
            for name, other, change in zip(run_names(sources), records, differing, strict=True)
        ]
        models = {model for change in differing for model in change}
        apart.append({m: f"{m} · {next(name for name, same in runs if m in same)}" for m in models})
    return apart


def _without_copies(table: TypedTable) -> TypedTable:
    """Return a table without rows that equal an earlier one in every column; a warning counts them."""
    copies = table.frame.duplicated()
    if count := int(copies.sum()):
        log.warning("%d rows equal other rows in every column: they are used once.", count)
        return TypedTable(table.frame.loc[~copies].reset_index(drop=True))
    return table


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return names for the column ``run``: last parts of paths, or the paths if two are equal."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _read_run_or_file(path: Path) -> TypedTable:
    # a run directory without its parts still has its table
    if not (path / "parts").is_dir() and (path / "table.csv").is_file():
        path = path / "table.csv"
    if path.is_file() and path.suffix == ".csv":
        return read_file(path, parse_csv)
    if path.is_file() and path.suffix == ".parquet":
        return read_file(path, parse_parquet)
    run = RunDir.open(path)
    if run.predates_checksums and any((run.path / "parts").iterdir()):
        log.warning(
            "%s was made before parts of a run were sealed: nothing proves what made its rows.",
            path,
        )
    return TypedTable.of(rows_of_run(run))


def parse_csv(content: io.BytesIO) -> pd.DataFrame:
    """Return the data of a CSV file. Unknown columns get the type that their texts look like."""
    frame = pd.read_csv(content, dtype=str, keep_default_na=False, encoding="utf-8")
    # spreadsheets may end with empty lines
    frame = frame.loc[(frame != "").any(axis="columns")]
    known = {*column_kinds(), "run", "cell"}  # a folder's name, such as 01, is no number
    extra = {name: frame[name].map(parse_text) for name in frame.columns if name not in known}
    frame = frame.assign(**extra)
    return frame.map(lambda value: unquote_csv_text(value) if isinstance(value, str) else value)


def parse_parquet(content: io.BytesIO) -> pd.DataFrame:
    """Return the data of a Parquet file of at most :data:`MOST_ROWS` rows."""
    if (rows := ParquetFile(content).metadata.num_rows) > MOST_ROWS:
        raise ValueError(f"it has {rows:,} rows")
    return pd.read_parquet(content)


def read_file(path: Path | str, parse: Callable[[io.BytesIO], pd.DataFrame]) -> TypedTable:
    """Return the table in a file. Raises a FileNotFoundError, or a ValueError with its path."""
    try:
        frame = parse(io.BytesIO(read_regular(Path(path), LARGEST)))
    except FileNotFoundError:
        raise
    except Exception as error:  # parsers can raise anything for an arbitrary file
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


def rows_of_run(run: RunDir) -> list[Record]:
    """Return a row for each planned cell of a run; its ``status`` is "missing" before it has run."""
    kinds = column_kinds()
    return [row for cell in run.cells() if (row := _row_of_cell(run, cell, kinds)) is not None]


def _row_of_cell(run: RunDir, cell: str, kinds: Mapping[str, Kind]) -> Record | None:
    """Return the row of a cell from its JSON files; None without a readable ``cell.json``."""
    planned = run.read(cell, CELL)
    if planned is None:
        return None
    try:
        quality = run.read_or_raise(cell, QUALITY)
    except FileNotFoundError:
        quality = {}
    except DamagedError as fault:
        quality = {
            "status": "damaged",
            "reason": f"quality.json: {fault}; run the suite into this folder again",
        }
        log.warning(
            "%s is damaged: %s. Its row has no results; run the suite into this folder again.",
            run.part_path(cell, QUALITY),
            fault,
        )
    timing = run.read(cell, TIMING) or {}
    row: Record = {}
    faults: Record = {}
    for file, part in ((TIMING, timing), (CELL, planned), (QUALITY, quality)):
        for name, value in part.items():
            # only an edited file can have such a value
            if name in kinds and (wrong := why_misfit(value, kinds[name], name)):
                remedy = "delete the file and run the suite into this folder again"
                faults = {"status": "damaged", "reason": f"{file}: {wrong}; {remedy}"}
            elif not isinstance(value, list | dict):
                row[name] = value
    row |= faults
    # older quality.json have one flag for both, as in TypedTable.typed
    row.setdefault("fd_conv_flag", row.get("fid_flag"))
    return row | {"status": row.get("status") or ("ok" if quality else "missing"), "cell": cell}
