"""One self-contained HTML page for one or several runs, with the same table as CSV and Markdown beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..curves import problems, with_curves
from ..files import read_json, write_text
from ..table import ResultTable, load, run_names
from ..text import short
from ..values import number, rows_of, text
from .answer import Answer, answer
from .grids import SampleGrid, grids_of
from .listing import MARKS, listing_of
from .plots import plot_of
from .provenance import command_of, sections_of
from .style import COLOURS, Look, looks
from .summary import summary
from .timing import Timing, timing_of

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Problem:
    """What the report says of one model."""

    title: str
    answer: Answer | None
    plot: dict[str, Any] | None
    grid: SampleGrid | None
    timing: Timing | None
    undrawn: tuple[str, ...]


def write_report(dirs: Path | str | Sequence[Path | str], out: Path | str) -> Path:
    """Write ``report.html``, ``table.csv`` and ``table.md``.

    Args:
        dirs: run directories (or tables), finished or not.
        out: folder to write to, or the path of the page (ending in ``.html``), with the tables beside it.

    Returns:
        Path of the page. It needs nothing but itself, and forbids itself the network.

    Raises:
        ValueError: one of ``dirs`` is neither a run directory nor a table, or ``out`` cannot be written.
    """
    sources = [Path(dirs)] if isinstance(dirs, Path | str) else [Path(path) for path in dirs]
    page = Path(out) if Path(out).suffix == ".html" else Path(out) / "report.html"
    table = load(sources)
    try:
        write_text(page, render(table, sources))
        table.to_csv(page.with_name("table.csv"))
        write_text(page.with_name("table.md"), summary(table))
    except OSError as error:
        raise ValueError(f"cannot write the report to {page} ({error.strerror}); choose another folder") from error
    return page


def render(table: ResultTable, sources: Sequence[Path]) -> str:
    """The page as text."""
    from plotly.offline import get_plotlyjs  # slow to import, and needed only here

    frame = with_curves(table.frame)
    look = looks((text(row, "curve"), text(row, "sampler")) for row in rows_of(frame))
    runs = [(name, read_json(path / "run.json") or {}) for name, path in zip(run_names(sources), sources, strict=True)]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(number=number, short=short)
    parts = [(title, rows, _pictures(rows, sources)) for title, rows in problems(table.frame)]
    grids = grids_of(parts)
    found = [_problem(title, rows, look, grid) for (title, rows, _), grid in zip(parts, grids, strict=True)]
    return environment.get_template("report.html").render(
        title=", ".join(dict.fromkeys(table.frame["suite"].dropna())) or "Results",
        problems=found,
        plots=[problem.plot for problem in found],
        families=COLOURS,
        listing=listing_of(table.frame),
        marks=MARKS,
        counts=table.frame["status"].value_counts().to_dict(),
        runs=[(name, command_of(run), sections_of(run)) for name, run in runs],
        csv="data:text/csv;base64," + base64.b64encode(table.csv().encode()).decode(),
        plotly=Markup(get_plotlyjs()),
    )


def _problem(title: str, rows: pd.DataFrame, look: dict[str, Look], grid: SampleGrid | None) -> Problem:
    bad = rows_of(rows.loc[~rows["status"].isin(["ok", "missing"])])
    undrawn = tuple(f"{text(row, 'curve')} at {text(row, 'slot') or '?'} NFE ({text(row, 'status')})" for row in bad)
    return Problem(title, answer(rows), plot_of(title, rows, look), grid, timing_of(rows), undrawn)


def _pictures(rows: pd.DataFrame, sources: Sequence[Path]) -> dict[int, Path]:
    """Where the pictures of each row would be."""
    folders = dict(zip(run_names(sources), sources, strict=True))
    if "cell" not in rows:
        return {}
    home = rows["run"] if "run" in rows else [next(iter(folders))] * len(rows)
    places = zip(rows.index, home, rows["cell"], strict=True)
    return {index: folders[run] / "samples" / f"{cell}.npz" for index, run, cell in places if run in folders}
