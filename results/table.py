"""The result table: one row per cell, built from the parts of run directories, typed by the columns of :mod:`.record`."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from .curves import with_curves
from .dtypes import column, parsed
from .files import read_json, write_bytes, write_text
from .harmless import csv_text
from .latex import latex
from .pareto import pareto
from .record import COLUMNS, NAMES, Record
from .store import RunDir
from .text import csv_lines, markdown_table
from .values import empty

if TYPE_CHECKING:
    from .figures import Kind, Sheet, Width

ORDER = (
    *("suite", "model", "schedule", "start", "end", "sampler", "params"),
    *("budget", "steps", "nfe", "samples", "seed", "device", "dtype", "batch_size"),
)
"""Rows are sorted by these columns, empty values last."""

Axis = Literal["budget", "nfe", "steps"]


@dataclass(frozen=True)
class ResultTable:
    """Rows in canonical order with typed columns: those of :mod:`.record` first, then any others.

    Attributes:
        frame: the data; treat it as read-only.
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, records: Iterable[Record]) -> ResultTable:
        """The table of some rows; columns that no row has are empty."""
        return cls.typed(pd.DataFrame(list(records), dtype=object))

    @classmethod
    def typed(cls, frame: pd.DataFrame) -> ResultTable:
        """The table with the data of ``frame``, whatever the types, columns and order there."""
        if "fd_conv_flag" not in frame:  # once one column stood for both
            frame = frame.assign(fd_conv_flag=frame.get("fid_flag"))
        extra = [name for name in frame.columns if name not in NAMES]
        whole = frame.reindex(columns=[*NAMES, *extra])
        columns = {name: column(whole[name], kind) for name, kind, _ in COLUMNS} | {name: column(whole[name]) for name in extra}
        sort_by = [*ORDER, *(name for name in extra if pd.api.types.is_string_dtype(columns[name]))]
        return cls(pd.DataFrame(columns).sort_values(sort_by, kind="stable", na_position="last", ignore_index=True))

    @classmethod
    def from_csv(cls, path: Path | str) -> ResultTable:
        """The table that :meth:`to_csv` wrote, exactly. Columns that :mod:`.record` does not list are typed by what they look like."""
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        frame = frame.assign(**{name: frame[name].map(parsed) for name in frame.columns if name not in NAMES})
        return cls.typed(frame.map(lambda value: csv_text(value) if isinstance(value, str) else value))

    @classmethod
    def from_parquet(cls, path: Path | str) -> ResultTable:
        """The table that :meth:`to_parquet` wrote, exactly."""
        return cls.typed(pd.read_parquet(path))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def ok(self) -> ResultTable:
        """The rows that have results."""
        return self.where(status="ok")

    def where(self, **equal: object) -> ResultTable:
        """The rows with these values in these columns, such as ``where(model="fashion", sampler="heun")``."""
        keep = pd.Series(True, index=self.frame.index)
        for name, value in equal.items():
            keep &= (self.frame[name] == value).fillna(False).astype(bool)
        return ResultTable(self.frame.loc[keep].reset_index(drop=True))

    def wide(self, metric: str, columns: Axis = "budget") -> pd.DataFrame:
        """One line per model and curve, one column per budget, ``nfe`` or ``steps``; finished rows only.

        ``budget`` is the evaluation budget that a row fits in (:func:`.curves.with_curves`), so adaptive methods and suites with
        step counts have a place too. Where a curve has several rows in one place, the one with the most evaluations counts.
        """
        frame = with_curves(self.ok.frame).rename(columns={"budget": "asked", "slot": "budget"}).sort_values("nfe", kind="stable")
        frame = frame.dropna(subset=[columns, metric]).drop_duplicates(["model", "curve", columns], keep="last")
        return frame.pivot(index=["model", "curve"], columns=columns, values=metric).sort_index(axis="columns")

    def pivot(self, index: str | Sequence[str], columns: str, values: str) -> pd.DataFrame:
        """Finished rows rearranged, as ``DataFrame.pivot``; where several rows meet, the first counts."""
        return self.ok.frame.pivot_table(index=index, columns=columns, values=values, aggfunc="first")

    def best_per_budget(self, metric: str = "fid_proxy") -> pd.DataFrame:
        """For each model and budget the finished row with the smallest ``metric``: all columns, and ``curve`` and ``slot``."""
        frame = with_curves(self.ok.frame).dropna(subset=["slot", metric]).sort_values(metric, kind="stable")
        return frame.drop_duplicates(["model", "slot"]).sort_values(["model", "slot"], ignore_index=True)

    def pareto(self, metric: str = "fid_proxy", cost: str = "nfe") -> pd.DataFrame:
        """For each model and estimator the finished rows by cost, with ``on_front`` and ``front``: "on", "off" or "uncertain".

        See :mod:`.pareto`. ``cost`` is "nfe" or "ms_per_sample"; lower is better in both columns.
        """
        return pareto(self.ok.frame, metric, cost)

    def to_csv(self, path: Path | str) -> None:
        """Write CSV, atomically. Floats keep all their digits, so equal tables give equal bytes."""
        write_text(Path(path), self.csv())

    def csv(self) -> str:
        """The text of :meth:`to_csv`."""
        return csv_lines(self.frame.columns, self.frame.itertuples(index=False, name=None))

    def to_parquet(self, path: Path | str) -> None:
        """Write Parquet, atomically."""
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        write_bytes(Path(path), buffer.getvalue())

    def to_markdown(self, columns: Sequence[str] | None = None) -> str:
        """A Markdown table of ``columns`` (default: those that are not empty)."""
        chosen = self.filled if columns is None else list(columns)
        return markdown_table(chosen, self.frame[chosen].itertuples(index=False))

    def to_latex(self, metric: str = "fid_proxy", budgets: Sequence[int] | None = None) -> str:
        """LaTeX with booktabs: a table for each model, samplers by budgets, values with standard errors; see :mod:`.latex`."""
        return latex(self.frame, metric, budgets)

    def plot(self, metric: str = "fid_proxy", cost: str = "nfe", *, kind: Kind = "work-precision", width: Width = "single") -> Sheet:
        """A figure of finished rows, one panel for each model: see :mod:`.figures`.

        Args:
            metric: column of the quality, lower is better.
            cost: "nfe", "ms_per_sample", "joules_per_sample" or "steps".
            kind: "work-precision" (a curve for each sampler) or "pareto" (the front).
            width: "single" or "double", in columns of a page.

        Returns:
            A matplotlib figure, which notebooks show by themselves.

        Raises:
            ValueError: no row has both columns, or no such kind.
        """
        from .figures import draw  # matplotlib takes its time

        return draw(self, metric, cost, kind=kind, width=width)

    @property
    def filled(self) -> list[str]:
        """The names of the columns that are not empty."""
        return [str(name) for name in self.frame.columns if not all(map(empty, self.frame[name]))]

    def _repr_html_(self) -> str:
        """The columns that are not empty, as notebooks show them."""
        return str(self.frame[self.filled].to_html(max_rows=20, max_cols=24, show_dimensions=True, na_rep=""))


def load(paths: Path | str | Sequence[Path | str]) -> ResultTable:
    """The table of one run or of several.

    Args:
        paths: run directories, finished or not, folders with a ``table.csv``, or ``table.csv`` and ``table.parquet`` files. With
            several, a column ``run`` says where a row came from. The column ``cell`` names the folder of a row's parts.

    Raises:
        ValueError: a path is none of these.
    """
    sources = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    frames = [_frame(path) for path in sources]
    if len(frames) > 1:
        frames = [frame.assign(run=name) for name, frame in zip(run_names(sources), frames, strict=True)]
    return ResultTable.typed(pd.concat([frame.astype(object) for frame in frames], ignore_index=True) if frames else pd.DataFrame())


def rebuild(path: Path | str) -> ResultTable:
    """Write ``table.csv`` and ``table.parquet`` of a run directory from its parts, and return the table."""
    table = load(path)
    table.to_csv(Path(path) / "table.csv")
    table.to_parquet(Path(path) / "table.parquet")
    return table


def run_names(paths: Sequence[Path]) -> list[str]:
    """What the column ``run`` calls each of several runs: its last folder, or the whole path where that is not enough."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _frame(path: Path) -> pd.DataFrame:
    if not (path / "parts").is_dir() and (path / "table.csv").is_file():  # what is left of a run when its samples are gone
        path = path / "table.csv"
    if path.is_file() and path.suffix == ".csv":
        return ResultTable.from_csv(path).frame
    if path.is_file() and path.suffix == ".parquet":
        return ResultTable.from_parquet(path).frame
    run = RunDir.open(path)
    return ResultTable.of(_row(run, cell) for cell in run.cells()).frame


def _row(run: RunDir, cell: str) -> Record:
    """A cell's row. Measured columns win over planned ones: an extended cell keeps its old numbers until the new ones are there."""
    planned, quality, timing = (read_json(run.part(cell, name)) or {} for name in ("cell.json", "quality.json", "timing.json"))
    row: Record = {name: value for part in (timing, planned, quality) for name, value in part.items() if not isinstance(value, list | dict)}
    row.setdefault("fd_conv_flag", row.get("fid_flag"))  # as in `typed`, where only some of the cells are scored anew
    return row | {"status": row.get("status") or ("ok" if quality else "missing"), "cell": cell}
