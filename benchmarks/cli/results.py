"""``status``, ``report`` and ``show``: what is in a run directory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from .apart import print_errors, print_headline
from .console import out, print_json, say
from .options import Json

Folder = Annotated[Path, typer.Argument(help="Run directory.")]


def status(folder: Folder, as_json: Json = False) -> None:
    """Show what is done, failed, missing and set aside in a run directory."""
    import pandas as pd

    from ...results.run_directory.run_dir import RunDir
    from ...results.table.result_table import load

    records = load(folder).frame.to_dict(orient="records")
    aside = RunDir(folder).aside()
    if as_json:
        rows = [{"name": row.get("cell") or row["sampler"], **{k: None if v is pd.NA else v for k, v in row.items()}} for row in records]
        return print_json(rows + [{"name": cell.cell, **cell.record, "status": "set aside", "reason": cell.why} for cell in aside])
    counts = Counter(row["status"] for row in records) + Counter({"set aside": len(aside)})
    out.print(f"{len(records)} cells: " + ", ".join(f"{n} {s}" for s, n in counts.items()), markup=False)
    for row in records:
        if row["status"] not in ("ok", "missing"):
            out.print("  {status}: {model} {sampler} steps={steps}: {reason}".format(**row), markup=False)
    for cell in aside:
        model, sampler, steps = (cell.record.get(name, "?") for name in ("model", "sampler", "steps"))
        say(f"  set aside: {model} {sampler} steps={steps}: {cell.why}")
    return None


def report(
    folders: Annotated[list[Path], typer.Argument(help="One or more run directories.")],
    to: Annotated[Path | None, typer.Option("--out", help="Path of the HTML file.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Sampler that all are judged against (euler).")] = None,
) -> None:
    """Write the report: one HTML file that needs no network, and the table as CSV and Markdown."""
    write(folders, to, baseline)


def show(
    folder: Folder,
    metric: Annotated[str | None, typer.Option("--metric", help="Column to rank by, lower is better.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Sampler that verdict marks are against (euler).")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Print the errors apart instead: start, steps, end, model.")] = False,
    to_floor: Annotated[bool, typer.Option("--to-floor", help="Print the evaluations until fd_conv reaches the floor instead.")] = False,
) -> None:
    """Print the ranking of a run, with spark-lines and verdicts against a baseline."""
    from ...results.run_directory.reading import run_record
    from ...results.table.result_table import load
    from ...results.terminal.path_curvature import KEY
    from ...results.terminal.ranking import verdicts_of

    table = load(folder)
    if errors or to_floor:
        if to_floor:
            print_headline(table)
        if errors:
            about = run_record(folder)
            print_errors(table, about.get("start_errors") or {}, about.get(KEY) or {})
        return
    if metric is not None and metric not in ranked(table):
        raise ValueError(f"there is nothing to rank by {metric!r} in {folder}; choose --metric from {', '.join(ranked(table))}")
    print_ranking(table, metric, *verdicts_of(folder, metric, baseline))


def write(folders: list[Path], to: Path | None, baseline: str | None = None, *, anew: bool = True) -> None:
    """Write the report of ``folders`` to the file ``to``, or into the only folder, against ``baseline`` or the usual one.

    Args:
        folders: run directories.
        to: the page; None for ``report.html`` in the only folder.
        baseline: None for the usual one.
        anew: whether a report that is the one that would be written now is written all the same.

    Raises:
        ValueError: several folders and no file.
    """
    if to is None and len(folders) > 1:
        raise ValueError("say where the report of several runs goes, with --out FILE.html")
    from ...results.comparison.findings import BASELINE
    from ...results.report.current import is_current

    if not anew and is_current(folders[0], baseline or BASELINE):
        say(f"Report: {folders[0] / 'report.html'}")
        return

    from ...results.report.build import write_report

    asked = {} if baseline is None else {"baseline": baseline}
    say(f"Report: {write_report(folders, to or folders[0], **asked)}")


def print_ranking(table: Any, metric: str | None = None, baseline: str = "", marks: Any = None) -> None:
    """Print the ranking by ``metric``, or each model by its default quantity."""
    from ...results.table.curves import comparable_parts
    from ...results.table.description import without_data
    from ...results.terminal.ranking import print_table

    print_table(table, out, metric=metric, baseline=baseline, marks=marks)
    for _, rows in comparable_parts(table.frame):
        if sentence := without_data(rows):
            say(sentence)


def ranked(table: Any) -> list[str]:
    """The columns that have a standard error and a value, and what else is smaller where it is better."""
    names = table.frame.columns
    measured = [name.removesuffix("_se") for name in names if name.endswith("_se") and not name.endswith(("_floor_se", "_converged_se"))]
    others = ["fid_proxy_raw", "fd_inf", "rmse_median", "flip_fraction", "ms_per_sample", "joules_per_sample", "overhead"]
    return [name for name in dict.fromkeys([*measured, *others]) if name in names and table.frame[name].notna().any()]
