"""Commands ``run``, ``plan`` and ``samples``, which take a suite and options that replace parts."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from ...results.text import format_number
from ...results.values import rows_as_dicts
from .common import executor_options as executors
from .common.console import (
    announce,
    duration_in_words,
    err,
    out,
    print_json,
    print_rows,
    say,
    say_next,
)
from .common.executor_options import ExecutorOptions
from .common.help_panels import EXECUTION, OUTPUT, WHERE
from .common.options import (
    Json,
    SuiteName,
    check_choice,
    flag,
    option_default,
    with_grouped_options,
)
from .status import counts_in_words, print_alike, state_name_reason
from .suite_options import SuiteOptions, resolve_suite
from .views import compare_commands, print_ranking, write_report_page

if TYPE_CHECKING:
    from ...models.extractors.quantised import Quantisation
    from ...results.result_table import ResultTable
    from ..running.sequential_sampling import InterimAnalyses

UNDECIDED = ("undecided", "futile", "not compared", "failed")
"""Verdicts that decide nothing; their reasons are printed."""


@with_grouped_options
def run(
    suite: SuiteName,
    options: SuiteOptions,
    execution: ExecutorOptions,
    time_limit: float | None = option_default(
        "--time-limit SECONDS",
        "Limit for 512 samples of a cell, 0 for none (default: 20 times the forecast).",
        EXECUTION,
        min=0,
    ),
    retry: bool = flag("--retry", "Run failed, crashed and timed-out cells again.", OUTPUT),
    fresh: bool = flag(
        "--fresh", "Set existing results aside and start over, without cached searches.", OUTPUT
    ),
    jobs: str | None = option_default(
        "--jobs N",
        "Number of worker processes, or auto for one per GPU or core. They share --threads.",
        WHERE,
    ),
) -> None:
    """Run a suite and write its table and report. Existing results are reused."""
    if options.timing is False and "OMP_WAIT_POLICY" not in os.environ:
        # waiting threads of OpenMP and OpenBLAS spin by default, and on a busy machine take the core
        # from the thread that computes (30 s instead of 3 s). They read this when torch is imported
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
        os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    if options.device != "cpu":
        executors.take_gpu_of_rank()
    executor = executors.pick_executor(execution, jobs, options.device, time_limit)
    announce(f"Running the suite {suite}: loading PyTorch and the models …")
    with closing(executor):
        if executors.has_no_run(suite, options.out_dir):
            executors.start_early(executor)

        from ..api import run_suite
        from ..running.setup import default_run_folder

        resolved, device = resolve_suite(suite, options)
        folder = options.out_dir or default_run_folder(resolved)
        with executors.graceful_shutdown(folder, executor):
            done = run_suite(
                resolved,
                folder,
                device,
                console=err,
                executor=executor,
                time_limit=time_limit,
                retry=retry,
                fresh=fresh,
                join=True,
            )
    if done.table is None:
        say(f"All samples are drawn. The process that started in {folder} scores them.")
        return
    print_ranking(done.table, folder)
    if done.nonconforming:
        say(done.nonconforming)
    if done.analyses:
        print_verdicts(done.analyses)
    code = print_failed_cells(done.table, done.cells, folder)
    write_report_page([folder], None, force=False)
    failed = [["status", folder]] if code else []
    say_next(*failed, *compare_commands(done.table, folder), ["figures", folder])
    if code:
        raise typer.Exit(code)


@with_grouped_options
def plan(suite: SuiteName, options: SuiteOptions, as_json: Json = False) -> None:
    """Show what would run, and how long it takes here. Only the cache is written."""
    from ..api import plan_cells
    from ..planning.native import warn_if_noise_hides_data
    from ..running.executors.shard_limits import expected_evaluations
    from ..running.forecast import forecast_suite
    from ..running.setup import default_run_folder

    announce(f"Planning the suite {suite}: loading PyTorch and the models …")
    resolved, device = resolve_suite(suite, options)
    models, references, cells = plan_cells(resolved, device)
    warn_if_noise_hides_data(cells, models)
    if as_json:
        rows = [
            {
                "name": c.key,
                **c.record(resolved.name),
                "skip": c.skip,
                "expected": expected_evaluations(models[c.model], c),
            }
            for c in cells
        ]
        return print_json(rows)
    rows, doubts = forecast_suite(resolved, models, references, cells, device)
    columns = ("model", "cells", "evaluations", "sampling", "references", "scoring")
    table = Table(*columns, box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    say(f"Suite {resolved.name}: {len(cells)} cells")
    for row in rows:
        note = f" ({row.adaptive} adaptive, guessed)" if row.adaptive else ""
        times = map(duration_in_words, (row.seconds, row.references, row.scoring))
        table.add_row(row.model, f"{row.cells}{note}", f"{row.evaluations:,.0f}", *times)
    out.print(table)
    folder = options.out_dir or default_run_folder(resolved)
    if (folder / "parts").is_dir():
        from ...results.result_table import load

        count = load(folder).ok.frame["cell"].isin([cell.key for cell in cells]).sum()
        done = f"{count} of these cells have results in {folder}; run goes on from there."
        out.print(done, markup=False)
    sampling, solving = sum(row.seconds for row in rows), sum(row.references for row in rows)
    scoring, times = sum(row.scoring for row in rows), resolved.timing
    timing = times.seconds * (len(times.batch_size) + (times.sweep > 0))
    if times.minutes:
        timing = min(timing, 60 * times.minutes / max(len(rows), 1))
    pace = f", and timing about {duration_in_words(timing)} a model" if times.enabled else ""
    say(
        f"Sampling takes about {duration_in_words(sampling)} here, references {duration_in_words(solving)} and "
        f"scoring {duration_in_words(scoring)}{pace}."
    )
    if solving > sampling:
        say(
            "Fewer --reference-samples and --converged-samples shorten the references and "
            "widen the intervals of rmse and fd_conv."
        )
    if doubts:
        say(f"This machine is busy. All of it may take less than that: {'; '.join(doubts)}.")
    if "plan" in sys.argv:
        say_next(["run", *sys.argv[sys.argv.index("plan") + 1 :]])
    return None


@with_grouped_options
def samples(
    suite: SuiteName,
    options: SuiteOptions,
    quantise: str = option_default(
        "--quantise NAME", "Rounding to 8 bits: round, or truncate as ADM.", default="round"
    ),
) -> None:
    """Save the images of a suite for other evaluators.

    One .npz file per cell, in the format of ADM's evaluator.
    """
    from ..planning.planner import load_models
    from ..planning.planner import plan as plan_suite
    from ..sampling.failure import Failure
    from ..sampling.image_archive import check_exportable, export_samples

    resolved, device = resolve_suite(suite, options)
    rounding: Quantisation = check_choice(quantise, "--quantise", ("round", "truncate"))
    models = load_models(resolved, device)
    for model in models.values():
        check_exportable(model)
    folder = options.out_dir or Path("samples") / f"{resolved.name}-{resolved.digest}"
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for cell in plan_suite(resolved, models, dict.fromkeys(models), device):
        path, label = folder / f"{cell.key}.npz", f"{cell.label} on {cell.model}"
        if cell.skip:
            say(f"{label}: left out, {cell.skip}")
            continue
        try:
            export_samples(models[cell.model], cell, path, rounding)
        except Failure as failure:
            failed = True
            say(f"{label}: {failure.reason}")
            continue
        say(f"{path}: {cell.samples:,} samples of {label}")
    if failed:
        raise typer.Exit(1)


def print_verdicts(analyses: InterimAnalyses) -> None:
    """Print the rows of the interim analyses with their verdicts, and what the verdicts mean."""
    from ...results.comparison.significance import LEVEL

    rows = [
        {**row, "interval": _format_difference(row), "name": row["curve"]} for row in analyses.rows
    ]
    columns = {"name": "sampler", "model": "model", "budget": "NFE", "samples": "samples"}
    columns |= {} if analyses.until.baseline is None else {"interval": "Δ [95 %]"}
    print_rows(rows, columns | {"verdict": "verdict"})
    counts = dict(Counter(row["verdict"] for row in rows).most_common())
    noun = "interim analysis" if analyses.number == 1 else "interim analyses"
    say(f"{analyses.number} {noun} of {analyses.until.column}: {counts_in_words(counts)}.")
    undecided = [row for row in rows if row["verdict"] in UNDECIDED and row["reason"]]
    for reason, n in Counter(row["reason"] for row in undecided).items():
        say(f"{n} without a decision: {reason}.")
    if analyses.until.baseline is not None:
        say(
            f"Against {analyses.until.baseline}, lower is better; verdicts hold together at "
            f"{LEVEL:.0%}, over rows and analyses. Δ is as last seen."
        )
    out.print()


def _format_difference(row: dict[str, Any]) -> str:
    """Return a row's difference as ``Δ [low, high]`` with two digits; "" without an interval."""
    if row.get("low") is None:
        return ""
    value, low, high = (format_number(row[key], 2) for key in ("difference", "low", "high"))
    return f"{value} [{low}, {high}]"


def print_failed_cells(table: ResultTable, cells: Collection[str], folder: Path) -> int:
    """Print how many of ``cells`` are not ok, and the most common reasons.

    Returns the exit code: 1 if there are cells and none of them is ok, else 0.
    """
    rows = [row for row in rows_as_dicts(table.frame) if row["cell"] in cells]
    bad = [row for row in rows if row["status"] != "ok"]
    if not bad:
        return 0
    words = counts_in_words(Counter(str(row["status"]) for row in bad))
    command = shlex.join(["samplerbench", "status", str(folder)])
    say(f"{len(bad)} of {len(rows)} cells are not ok ({words}); {command} says why.")
    print_alike(map(state_name_reason, bad), 6, "status prints them")
    return int(len(bad) == len(rows))
