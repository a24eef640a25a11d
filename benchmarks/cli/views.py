"""Commands ``report``, ``show`` and ``figures``: views of a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...results.text import format_number
from ...results.values import number, rows_as_dicts
from .common.console import out, print_rows, say, say_next
from .common.options import argument, check_choice, flag, option_default

if TYPE_CHECKING:
    from ...results.result_table import ResultTable

Folder = Annotated[Path, typer.Argument(help="Run directory.")]


def report(
    folders: list[Path] = argument("One or more run directories."),
    to: Path | None = option_default("--out FILE", "HTML file to write."),
    baseline: str | None = option_default("--baseline SAMPLER", "Sampler to compare with (euler)."),
) -> None:
    """Write the report of runs (HTML), and their table.

    The HTML file needs no network. The table is CSV, Parquet, Markdown and LaTeX.
    """
    write_report_page(folders, to, baseline)
    if len(folders) == 1:
        say_next(["show", *folders], ["figures", *folders])
    elif len(folders) == 2:
        say_next(["compare", *folders])


def show(
    folder: Folder,
    metric: str | None = option_default("--metric COLUMN", "Column to rank by."),
    baseline: str | None = option_default("--baseline SAMPLER", "Sampler to compare with (euler)."),
    errors: bool = flag("--errors", "Print the parts of the error: start, steps, end, model."),
    to_floor: bool = flag(
        "--to-floor", "Print the evaluations until fd_conv is below its sampling noise."
    ),
) -> None:
    """Print the ranking of the samplers in a run."""
    from ...results.result_table import load
    from ...results.run_directory.reading import read_run_record
    from ...results.terminal.ranking import verdicts_of

    table = load(folder)
    if errors or to_floor:
        if metric is not None or baseline is not None:
            raise ValueError("--errors and --to-floor take neither --metric nor --baseline")
        if to_floor:
            print_headline(table)
        if errors:
            print_errors(table, read_run_record(folder))
        return say_next(["show", folder])
    if metric is not None and metric not in rankable_columns(table):
        raise ValueError(
            f"there is nothing to rank by {metric!r} in {folder}; choose "
            f"--metric from {', '.join(rankable_columns(table))}"
        )
    print_ranking(table, folder, metric, *verdicts_of(folder, metric, baseline))
    return say_next(*compare_commands(table, folder), ["report", folder])


def compare_commands(table: ResultTable, folder: Path) -> list[list[object]]:
    """Return [words of a ``compare`` command]; [] without the default baseline or other samplers."""
    from ...results.comparison.findings import BASELINE

    names = set(table.ok.frame["sampler"])
    has_baseline = BASELINE in names and len(names) > 1
    return [["compare", folder, "--baseline", BASELINE]] if has_baseline else []


def write_report_page(
    folders: list[Path], to: Path | None, baseline: str | None = None, *, force: bool = True
) -> None:
    """Write the report of run directories to ``to``; None is ``report.html`` in the only folder.

    Unless ``force`` is True, a report that is up to date stays. Raises a ValueError if ``to`` is None
    for several folders.
    """
    if to is None and len(folders) > 1:
        raise ValueError("name the file for the report of several runs with --out FILE.html")
    from ...results.comparison.findings import BASELINE
    from ...results.report.provenance import is_current

    if not force and is_current(folders[0], baseline or BASELINE):
        say(f"Report: {folders[0] / 'report.html'}")
        return

    from ...results.report.build import write_report

    say(f"Report: {write_report(folders, to or folders[0], baseline=baseline or BASELINE)}")


def print_ranking(
    table: Any, folder: Path, metric: str | None = None, baseline: str = "", marks: Any = None
) -> None:
    """Print each model's ranking by ``metric``; None takes the model's default metric.

    ``marks`` are verdicts against ``baseline``, as ``verdicts_of`` returns them; None for none.
    """
    from ...results.table.curves import comparable_parts
    from ...results.table.description import why_no_distance_to_data
    from ...results.terminal.ranking import print_table

    print_table(table, out, metric=metric, home=folder, baseline=baseline, marks=marks)
    for _, rows in comparable_parts(table.frame):
        if sentence := why_no_distance_to_data(rows):
            say(sentence)


def rankable_columns(table: Any) -> list[str]:
    """Return the filled columns to rank by: with a standard error, plugins', times, and others."""
    from ...results.quantities import BUILT_IN, quantities
    from ...results.table.typed_table import filled_columns

    filled = filled_columns(table.frame)
    measured = [
        name.removesuffix("_se")
        for name in table.frame.columns
        if name.endswith("_se") and not name.endswith(("_floor_se", "_converged_se"))
    ]
    measured += [q.name for q in quantities() if q.kind == "number" and q not in BUILT_IN]
    ranked_too = ("fid_proxy_raw", "fd_inf", "rmse_median", "ms_per_sample", "joules_per_sample")
    return [name for name in dict.fromkeys([*measured, *ranked_too, "overhead"]) if name in filled]


def figures(
    run: Path = argument("Run directory, or a folder with its table.csv."),
    out: Path | None = option_default("--out FOLDER", "Folder to write (RUN/figures)."),
    formats: str = option_default(
        "--format NAME,…", "Formats: svg, png, pdf.", default="svg,png,pdf"
    ),
    kind: str | None = option_default(
        "--kind NAME,…",
        "Kinds: work-precision, pareto, ranking, timing, samples, ecdf, profile (all).",
    ),
    metric: list[str] | None = option_default("--metric COLUMN", "Column to draw (repeatable)."),
    model: list[str] | None = option_default("--model MODEL", "Draw this model only (repeatable)."),
    sampler: list[str] | None = option_default(
        "--sampler SAMPLER", "Draw this sampler only (repeatable)."
    ),
    width: str = option_default(
        "--width NAME", "single (85 mm) or double (175 mm) column.", default="single"
    ),
) -> None:
    """Write the figures of a run as SVG, PNG and PDF.

    Each model has work-precision plots, Pareto fronts, rankings, times and samples. All models together
    have distributions of evaluations to target (ecdf) and performance profiles.
    """
    from ...results.figures import KINDS, write_figures

    paths = write_figures(
        run,
        out or run / "figures",
        formats=_split_words(formats),
        kinds=KINDS if kind is None else _split_words(kind),
        metrics=metric or (),
        models=model or (),
        samplers=sampler or (),
        width=check_choice(width, "--width", ("single", "double")),
    )
    for path in paths:
        say(f"Figure: {path}")


def _split_words(words: str) -> list[str]:
    return [word.strip() for word in words.split(",")]


def print_headline(table: ResultTable) -> None:
    """Print each sampler's evaluations until ``fd_conv`` is below its sampling noise."""
    from ...results.comparison.headline import headline_table

    headlines = headline_table(table)
    if headlines.empty:
        say("No finished row has fd_conv, its error and fid_proxy_floor.")
    for _, lines in headlines.groupby(["model", "estimator"], sort=False):
        first = lines.iloc[0]
        say(
            f"{first['model']}: evaluations until fd_conv is below "
            f"{format_number(first['tolerance'])}, the sampling noise of {first['samples']} samples"
        )
        rows = [
            {**row, "name": row["curve"], "shown": f"{row['shown']}{'†' if row['flag'] else ''}"}
            for row in rows_as_dicts(lines)
        ]
        print_rows(rows, {"name": "sampler", "shown": "NFE [95 %]", "verdict": "verdict"})
        say(
            "Verdicts compare with the first sampler, and hold together over all pairs."
            + (" † unreliable interval.\n" if any(lines["flag"]) else "\n")
        )


def print_errors(table: ResultTable, about: Mapping[str, Any]) -> None:
    """Print the parts of each sampler's error, and where the model's own error dominates.

    ``about`` is ``run.json``, which has errors of initial states and curvatures of paths by model.
    """
    from ...results.printed_values import BELOW_NOTE, value_with_bounds
    from ...results.table.error_decomposition import dominated_from, error_decomposition
    from ...results.terminal.path_curvature import KEY, curvature_lines

    whole = dominated_from(table)
    parts = error_decomposition(table, about.get("start_errors"))
    if parts.empty:
        say("No row is finished.")
        return
    for _, lines in parts.groupby(["model", "estimator"], sort=False, dropna=False):
        rows = rows_as_dicts(lines)
        model, estimator = rows[0]["model"], rows[0]["estimator"]
        converged = value_with_bounds(rows[0], "fid_proxy_converged")
        own = f": the model's own error, fid_proxy of converged samples, is {converged}"
        say(f"{model}{'' if rows[0]['fid_proxy_converged'] is None else own}")
        for line in curvature_lines((about.get(KEY) or {}).get(str(model))):
            say(line)
        print_rows([_error_cells(row) for row in rows])
        mine = whole.loc[(whole["model"] == model) & (whole["estimator"] == estimator)]
        measured = any(row["fid_proxy_converged"] is not None for row in rows)
        say(f"{_dominance_in_words(mine, measured=measured)}\n")
    say("start: error of the initial state, for Gaussian data")
    say("end: bound on the error of stopping at sigma_min")
    say("order: from the previous budget to this one, ± 1.96 standard errors")
    every = rows_as_dicts(parts)
    if any(row["dominated"] is True for row in every):
        say("×: dominated by the model's own error")
    if any(row["rmse_flag"] for row in every):
        say("†: a few samples carry half of the mean square; compare by typical and flips")
    if any((number(row, "fid_proxy_converged") or 0.0) < 0 for row in every):
        say(BELOW_NOTE)


def _dominance_in_words(whole: Any, *, measured: bool) -> str:
    """Return a sentence on the budget from which a model's own error dominates.

    If ``whole`` is empty, it says that samples are too few, or is "" if not ``measured``.
    """
    if not len(whole):
        few = "There are too few converged samples to see where the model's own error dominates."
        return few if measured else ""
    at = whole["dominated_from"].iloc[0]
    if at != at:
        return "The model's own error dominates the ranking by fid_proxy at none of these budgets."
    return (
        f"From {format_number(at)} evaluations on, the model's own error dominates, and the "
        "top samplers differ by less. Do not rank them by fid_proxy."
    )


def _error_cells(row: dict[str, Any]) -> dict[str, str]:
    from ...results.printed_values import printed_value

    def text_of(name: str, digits: int = 2) -> str:
        return "" if row[name] is None else format_number(printed_value(name, row[name]), digits)

    order = row["order"]
    return {
        "sampler": row["curve"],
        "NFE": text_of("nfe", 3),
        "start": text_of("start_error"),
        "typical": text_of("typical_error"),
        "rmse": text_of("rmse") + ("†" if row["rmse_flag"] else ""),
        "flips": text_of("flip_fraction"),
        "order": "" if order is None else f"{order:.1f}±{row['order_high'] - order:.1f}",
        "end": text_of("end_bound"),
        "fd_conv": text_of("fd_conv") + ("×" if row["dominated"] is True else ""),
    }
