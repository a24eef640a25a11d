"""The result table of commands and notebooks: reading, rearranging, drawing and writing it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import pandas as pd

from .comparison.estimates import default_quantity
from .printed_values import printed_value
from .quantities import find
from .run_directory.files import write_bytes, write_text
from .run_directory.run_dir import RunDir
from .table.curves import add_curves_and_slots, comparable_parts
from .table.latex import latex_tables
from .table.reading import parse_csv, parse_parquet, read_file, read_table, rows_of_run
from .table.typed_table import TypedTable, check_columns, filled_columns
from .text import csv_lines, format_number, markdown_table
from .values import rows_as_dicts

if TYPE_CHECKING:
    from .figures import Kind, Sheet, Width

Axis = Literal["budget", "nfe", "steps"]

MOST_RANKED = 12
"""Largest number of samplers that a notebook shows for a model."""


class ResultTable(TypedTable):
    """Table of the rows of one or several runs, with methods that rearrange, draw and write it."""

    @classmethod
    def from_csv(cls, path: Path | str) -> Self:
        """Return the table that :meth:`to_csv` wrote, with equal values and types.

        Unknown columns get the type that their texts look like.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds no table of results.
        """
        return cls(read_file(path, parse_csv).frame)

    @classmethod
    def from_parquet(cls, path: Path | str) -> Self:
        """Return the table that :meth:`to_parquet` wrote. Raises as :meth:`from_csv`."""
        return cls(read_file(path, parse_parquet).frame)

    def wide(self, metric: str, columns: Axis = "budget") -> pd.DataFrame:
        """Return ``metric`` of the finished rows: a line per model and curve, columns by budget.

        A model with two estimators stands for two, as in :func:`.table.curves.comparable_parts`.
        ``columns`` may also be "nfe" or "steps". "budget" is the evaluation budget that a row fits
        in (:func:`.table.curves.add_curves_and_slots`), so that rows of adaptive samplers have a budget. Of
        several rows with the same line and column, the row with the most evaluations is used.
        Raises a ValueError if the table has no column ``metric``.
        """
        check_columns(self.frame, metric)
        parts = [rows.assign(model=title) for title, rows in comparable_parts(self.ok.frame)]
        frame = pd.concat(parts or [add_curves_and_slots(self.ok.frame)])
        frame = frame.rename(columns={"budget": "asked", "slot": "budget"})
        frame = frame.sort_values("nfe", kind="stable").dropna(subset=[columns, metric])
        frame = frame.drop_duplicates(["model", "curve", columns], keep="last")
        wide = frame.pivot(index=["model", "curve"], columns=columns, values=metric)
        return wide.sort_index(axis="columns")

    def pivot(self, index: str | Sequence[str], columns: str, values: str) -> pd.DataFrame:
        """Return the finished rows rearranged, as by ``DataFrame.pivot``.

        If several rows have the same index and column, the first non-empty value is used.
        Raises a ValueError if the table lacks a given column.
        """
        check_columns(self.frame, *([index] if isinstance(index, str) else index), columns, values)
        return self.ok.frame.pivot_table(
            index=index, columns=columns, values=values, aggfunc="first"
        )

    def best_per_budget(self, metric: str = "fid_proxy") -> pd.DataFrame:
        """Return for each model, estimator and budget the finished row with the best ``metric``.

        The columns are the columns of the table, ``curve``, and ``slot`` (the budget).
        Raises a ValueError if the table has no column ``metric``.
        """
        check_columns(self.frame, metric)
        frame = add_curves_and_slots(self.ok.frame).dropna(subset=["slot", metric])
        frame = frame.sort_values(metric, kind="stable", ascending=find(metric).lower)
        best = frame.drop_duplicates(["model", "estimator", "slot"])
        return best.sort_values(["model", "estimator", "slot"], ignore_index=True)

    def pareto(self, metric: str = "fid_proxy", cost: str = "nfe") -> pd.DataFrame:
        """Return the finished rows that have ``metric`` and ``cost``, with Pareto front membership.

        The rows are grouped by model and estimator, and sorted by cost. The column ``on_front`` is
        True on the front of the values. The column ``front`` allows for errors: "on", "off" or
        "uncertain" (:mod:`.comparison.pareto`). ``cost`` is "nfe" or "ms_per_sample". Raises a
        ValueError if the table lacks a column.
        """
        from .comparison.pareto import pareto  # a run does without this module

        return pareto(self.ok.frame, metric, cost)

    def to_csv(self, path: Path | str) -> None:
        """Write the table as CSV, atomically. Equal tables give equal bytes; floats are exact."""
        write_text(Path(path), self.csv())

    def csv(self) -> str:
        """Return the table as CSV text, as :meth:`to_csv` writes it."""
        return csv_lines(self.frame.columns, (row.values() for row in rows_as_dicts(self.frame)))

    def to_parquet(self, path: Path | str) -> None:
        """Write the table as Parquet, atomically."""
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        write_bytes(Path(path), buffer.getvalue())

    def to_markdown(self, columns: Sequence[str] | None = None) -> str:
        """Return a Markdown table of ``columns`` (default: those that are not empty)."""
        chosen = self.filled if columns is None else list(columns)
        return markdown_table(chosen, self.frame[chosen].itertuples(index=False))

    def to_latex(self, metric: str = "fid_proxy", budgets: Sequence[int] | None = None) -> str:
        """Return LaTeX with booktabs: a table per model, samplers as lines, budgets as columns.

        Values not shown to be worse than the best at their budget are bold. Only the table is used;
        a run's ``table.tex`` also uses influence values. ``budgets`` None stands for all budgets.
        """
        from .comparison.best_rows import best_curve_budgets  # a run does without this module

        bold = best_curve_budgets(self.frame, metric) if metric in self.frame else {}
        return latex_tables(self.frame, metric, budgets, bold)

    def plot(
        self,
        metric: str = "fid_proxy",
        cost: str = "nfe",
        *,
        kind: Kind = "work-precision",
        width: Width = "single",
    ) -> Sheet:
        """Return a figure of the finished rows (:mod:`.figures`).

        Args:
            metric: column of the quality.
            cost: "nfe", "ms_per_sample", "joules_per_sample" or "steps".
            kind: "work-precision" (a curve for each sampler) or "pareto" (the front), with a panel
                for each model; or "ecdf" (share of targets reached) or "profile" (performance
                profile), over all models.
            width: "single" or "double": one or two columns of a page.

        Returns:
            A matplotlib figure, which notebooks display.

        Raises:
            ValueError: no row has values of both columns, or ``kind`` is unknown or unfit for them.
        """
        from .figures import draw  # importing matplotlib is slow

        return draw(self, metric, cost, kind=kind, width=width)

    @property
    def filled(self) -> list[str]:
        """Names of the columns that are not empty."""
        return filled_columns(self.frame)

    def _repr_html_(self) -> str:
        """Return HTML: a ranking of samplers for each model, and a folded extract of the rows."""
        rows = self.frame[self.filled].to_html(
            max_rows=20, max_cols=24, show_dimensions=True, na_rep=""
        )
        return f"{''.join(self._rankings())}<details><summary>All rows</summary>{rows}</details>"

    def _rankings(self) -> Iterator[str]:
        """Yield an HTML table for each model with values: samplers by budgets, best first."""
        for model, part in comparable_parts(self.ok.frame):
            rows = type(self)(part.drop(columns=["curve", "slot"]))
            quantity = default_quantity(rows_as_dicts(rows.frame))
            if quantity is None:
                continue
            wide = rows.wide(quantity.name).droplevel("model")
            rivalled = wide.dropna(axis="columns", thresh=2)  # a curve alone is no better for it
            ranks = rivalled.rank(ascending=quantity.lower).mean(axis="columns")
            title = escape(quantity.title or quantity.name)
            best_first = wide.loc[ranks.sort_values(kind="stable").index]
            yield f"<p><b>{escape(model)}</b>: {title} by evaluations, {quantity.better} is better</p>"
            texts = best_first.map(partial(_printed_cell, quantity.name), na_action="ignore")
            yield texts.rename_axis(None).to_html(max_rows=MOST_RANKED, na_rep="")


def _printed_cell(name: str, value: float) -> str:
    return format_number(printed_value(name, value))


def load(paths: Path | str | Sequence[Path | str]) -> ResultTable:
    """Return the table of one run or of several.

    The column ``cell`` names the folder with a row's files, ``parts/CELL`` of its run directory.
    With several paths, the column ``run`` names the run of a row. A model that is not the same in
    all runs is named with its run, so that different models are not ranked together.

    Args:
        paths: run directories (finished or not), folders with a ``table.csv``, or CSV and Parquet
            files.

    Raises:
        ValueError: a path is none of these.
    """
    return ResultTable(read_table(paths).frame)


def rebuild(source: RunDir | Path | str) -> ResultTable:
    """Write ``table.csv`` and ``table.parquet`` from a run directory's parts; return the table."""
    run = source if isinstance(source, RunDir) else RunDir.open(source)
    table = ResultTable.of(rows_of_run(run))
    table.to_csv(run.path / "table.csv")
    table.to_parquet(run.path / "table.parquet")
    return table
