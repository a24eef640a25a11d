"""The result table: one row per cell, built from the parts of run directories, typed by the
columns of :mod:`..columns`.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from ..columns import kinds
from ..escaping import csv_text
from ..record import Record
from ..run_directory.files import write_bytes, write_text
from ..run_directory.places import CELL, QUALITY, TIMING
from ..run_directory.reading import log
from ..run_directory.run_dir import RunDir
from ..run_directory.sealed import Damaged
from ..text import csv_lines, markdown_table
from ..values import empty
from .curves import with_curves
from .dtypes import column, misfit, parsed
from .latex import latex

if TYPE_CHECKING:
    from ..figures import Kind, Sheet, Width

ORDER = (
    *("suite", "model", "schedule", "start", "end", "sampler", "params"),
    *("budget", "steps", "nfe", "samples", "seed", "device", "dtype", "batch_size"),
)
"""Rows are sorted by these columns, empty values last."""

NEEDED = ("model", "sampler", "nfe", "status")
"""Columns without which a file is no table of results."""

Axis = Literal["budget", "nfe", "steps"]


@dataclass(frozen=True)
class ResultTable:
    """Rows in canonical order with typed columns: those of :mod:`..columns` first, then any others.

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
        known = kinds()
        extra = [name for name in frame.columns if name not in known]
        whole = frame.reindex(columns=[*known, *extra])
        columns = {name: column(whole[name], kind, name) for name, kind in known.items()}
        columns |= {name: column(whole[name], name=str(name)) for name in extra}
        sort_by = [*ORDER, *(name for name in extra if pd.api.types.is_string_dtype(columns[name]))]
        return cls(
            pd.DataFrame(columns).sort_values(
                sort_by, kind="stable", na_position="last", ignore_index=True
            )
        )

    @classmethod
    def from_csv(cls, path: Path | str) -> ResultTable:
        """The table that :meth:`to_csv` wrote, exactly.

        Columns that :mod:`..columns` does not list are typed by what they look like.

        Raises:
            ValueError: the file holds no such table.
        """

        def read() -> pd.DataFrame:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
            frame = frame.assign(
                **{name: frame[name].map(parsed) for name in frame.columns if name not in kinds()}
            )
            return frame.map(lambda value: csv_text(value) if isinstance(value, str) else value)

        return cls._of_file(path, read)

    @classmethod
    def from_parquet(cls, path: Path | str) -> ResultTable:
        """The table that :meth:`to_parquet` wrote, exactly.

        Raises:
            ValueError: the file holds no such table.
        """
        return cls._of_file(path, lambda: pd.read_parquet(path))

    @classmethod
    def _of_file(cls, path: Path | str, read: Callable[[], pd.DataFrame]) -> ResultTable:
        """The table that ``read`` finds in a file, or a sentence that names the file."""
        try:
            frame = read()
        except FileNotFoundError:
            raise
        except Exception as error:  # a file of anything can raise anything
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            raise ValueError(
                f"{path} cannot be read as a table ({why}); give a table.csv "
                "or table.parquet of a run"
            ) from error
        if lacking := [name for name in NEEDED if name not in frame]:
            raise ValueError(
                f"{path} is no table of results: it has no column {' and no '.join(lacking)}; "
                "give the table of a run"
            )
        try:
            return cls.typed(frame)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def ok(self) -> ResultTable:
        """The rows that have results."""
        return self._rows(self._equal("status", "ok"))

    def where(self, **equal: object) -> ResultTable:
        """The rows with these values in these columns, such as ``where(model="fashion",
        sampler=["heun", "euler"])``.

        Args:
            equal: column to value, or to several in a list, tuple or set; None is a value that is
                not there.

        Raises:
            ValueError: no such column, or a value that no row of this table has; the message names
                those that are there. (An empty table would be taken for an answer. Where none is
                one, ask ``table.frame``.)
        """
        keep = pd.Series(True, index=self.frame.index)
        for name, value in equal.items():
            if name not in self.frame:
                raise ValueError(
                    f"the table has no column {name!r}{_near(name, map(str, self.frame.columns))}"
                )
            found = pd.Series(False, index=self.frame.index)
            for one in value if isinstance(value, list | tuple | set | frozenset) else [value]:
                rows = self._equal(name, one)
                if len(self) and not bool(rows.any()):
                    there = [str(v) for v in self.frame[name].dropna().unique()]
                    raise ValueError(f"no row has {name} = {one!r}{_near(str(one), there)}")
                found |= rows
            keep &= found
        return self._rows(keep)

    def _equal(self, name: str, value: object) -> pd.Series:
        column = self.frame[name]
        return pd.Series(
            column.isna() if value is None else (column == value).fillna(False),
            index=self.frame.index,
            dtype=bool,
        )

    def _rows(self, keep: pd.Series) -> ResultTable:
        return ResultTable(self.frame.loc[keep].reset_index(drop=True))

    def wide(self, metric: str, columns: Axis = "budget") -> pd.DataFrame:
        """One line per model and curve, one column per budget, ``nfe`` or ``steps``.

        Finished rows only.

        ``budget`` is the evaluation budget that a row fits in (:func:`.curves.with_curves`), so
        adaptive methods and suites with step counts have a place too. Where a curve has several
        rows in one place, the one with the most evaluations counts.
        """
        frame = (
            with_curves(self.ok.frame)
            .rename(columns={"budget": "asked", "slot": "budget"})
            .sort_values("nfe", kind="stable")
        )
        frame = frame.dropna(subset=[columns, metric]).drop_duplicates(
            ["model", "curve", columns], keep="last"
        )
        return frame.pivot(index=["model", "curve"], columns=columns, values=metric).sort_index(
            axis="columns"
        )

    def pivot(self, index: str | Sequence[str], columns: str, values: str) -> pd.DataFrame:
        """Finished rows rearranged, as ``DataFrame.pivot``.

        Where several rows meet, the first counts.
        """
        return self.ok.frame.pivot_table(
            index=index, columns=columns, values=values, aggfunc="first"
        )

    def best_per_budget(self, metric: str = "fid_proxy") -> pd.DataFrame:
        """For each model and budget the finished row with the smallest ``metric``: all columns,
        and ``curve`` and ``slot``.
        """
        frame = (
            with_curves(self.ok.frame)
            .dropna(subset=["slot", metric])
            .sort_values(metric, kind="stable")
        )
        return frame.drop_duplicates(["model", "slot"]).sort_values(
            ["model", "slot"], ignore_index=True
        )

    def pareto(self, metric: str = "fid_proxy", cost: str = "nfe") -> pd.DataFrame:
        """For each model and estimator the finished rows by cost, with ``on_front`` and ``front``:
        "on", "off" or "uncertain".

        See :mod:`..comparison.pareto`. ``cost`` is "nfe" or "ms_per_sample"; lower is better in
        both columns.
        """
        from ..comparison.pareto import pareto  # whose judge reads tables itself

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
        """LaTeX with booktabs: a table for each model, samplers by budgets, values with
        standard errors; see :mod:`.latex`.
        """
        return latex(self.frame, metric, budgets)

    def plot(
        self,
        metric: str = "fid_proxy",
        cost: str = "nfe",
        *,
        kind: Kind = "work-precision",
        width: Width = "single",
    ) -> Sheet:
        """A figure of finished rows, one panel for each model: see :mod:`..figures`.

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
        from ..figures import draw  # matplotlib takes its time

        return draw(self, metric, cost, kind=kind, width=width)

    @property
    def filled(self) -> list[str]:
        """The names of the columns that are not empty."""
        return [str(name) for name in self.frame.columns if not all(map(empty, self.frame[name]))]

    def _repr_html_(self) -> str:
        """The columns that are not empty, as notebooks show them."""
        return str(
            self.frame[self.filled].to_html(
                max_rows=20, max_cols=24, show_dimensions=True, na_rep=""
            )
        )


def load(paths: Path | str | Sequence[Path | str]) -> ResultTable:
    """The table of one run or of several.

    Args:
        paths: run directories, finished or not, folders with a ``table.csv``, or ``table.csv`` and
            ``table.parquet`` files. With several, a column ``run`` says where a row came from. The
            column ``cell`` names the folder of a row's parts.

    Raises:
        ValueError: a path is none of these.
    """
    sources = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    frames = [_frame(path) for path in sources]
    if len(frames) == 1:
        return ResultTable(frames[0])  # typed as it was read
    if frames:
        frames = [
            frame.assign(run=name) for name, frame in zip(run_names(sources), frames, strict=True)
        ]
    return ResultTable.typed(
        pd.concat([frame.astype(object) for frame in frames], ignore_index=True)
        if frames
        else pd.DataFrame()
    )


def rebuild(source: RunDir | Path | str) -> ResultTable:
    """Write ``table.csv`` and ``table.parquet`` of a run directory from its parts, and return
    the table.
    """
    run = source if isinstance(source, RunDir) else RunDir.open(source)
    table = ResultTable.of(_rows(run))
    table.to_csv(run.path / "table.csv")
    table.to_parquet(run.path / "table.parquet")
    return table


def run_names(paths: Sequence[Path]) -> list[str]:
    """What the column ``run`` calls each of several runs: its last folder, or the whole path
    where that is not enough.
    """
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _near(word: str, there: Iterable[str]) -> str:
    """What was meant perhaps, or else what there is, a dozen at most."""
    known = sorted(there)
    if close := difflib.get_close_matches(word, known, n=3):
        return f"; did you mean {' or '.join(close)}?"
    return (
        f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"
        if known
        else ""
    )


def _frame(path: Path) -> pd.DataFrame:
    # what is left of a run when its samples are gone
    if not (path / "parts").is_dir() and (path / "table.csv").is_file():
        path = path / "table.csv"
    if path.is_file() and path.suffix == ".csv":
        return ResultTable.from_csv(path).frame
    if path.is_file() and path.suffix == ".parquet":
        return ResultTable.from_parquet(path).frame
    run = RunDir.open(path)
    if run.old and any((run.path / "parts").iterdir()):
        log.warning(
            "%s was made before parts of a run were sealed: nothing proves what made its rows.",
            path,
        )
    return ResultTable.of(_rows(run)).frame


def _rows(run: RunDir) -> list[Record]:
    return [row for cell in run.cells() if (row := _row(run, cell)) is not None]


def _row(run: RunDir, cell: str) -> Record | None:
    """A cell's row; None where its identity is not there.

    Measured columns win over planned ones: an extended cell keeps its old numbers until the new
    ones are there.
    """
    planned = run.read(cell, CELL)
    if planned is None:
        return None
    try:
        quality = run.parsed(cell, QUALITY)
    except FileNotFoundError:
        quality = {}
    except Damaged as fault:
        quality = {
            "status": "damaged",
            "reason": f"quality.json: {fault}; run the suite into this folder again",
        }
        log.warning(
            "%s is damaged: %s. Its row has no results; run the suite into this folder again.",
            run.part(cell, QUALITY),
            fault,
        )
    timing = run.read(cell, TIMING) or {}
    row: Record = {}
    faults: Record = {}
    known = kinds()
    for file, part in ((TIMING, timing), (CELL, planned), (QUALITY, quality)):
        for name, value in part.items():
            # only an edited file can hold it
            if name in known and (wrong := misfit(value, known[name], name)):
                remedy = "delete the file and run the suite into this folder again"
                faults = {"status": "damaged", "reason": f"{file}: {wrong}; {remedy}"}
            elif not isinstance(value, list | dict):
                row[name] = value
    row |= faults
    # as in `typed`, where only some of the cells are scored anew
    row.setdefault("fd_conv_flag", row.get("fid_flag"))
    return row | {"status": row.get("status") or ("ok" if quality else "missing"), "cell": cell}
