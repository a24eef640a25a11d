"""The command line. Exit codes: 0 done, 1 a check failed, 2 bad usage or input."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    name="samplerbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Benchmark diffusion samplers: quality and cost against the number of steps.",
)  # fmt: skip
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="Python file with samplers of your own (repeatable).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """A comma-separated list of numbers >= 1.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (0,)
    if min(numbers) < 1:
        raise ValueError(f"{option} {text!r}: give whole numbers >= 1, separated by commas, such as {option} 5,10,20")
    return numbers


def load_plugins(files: list[Path] | None) -> None:
    """Installed plugins, then the user's files. A broken installed plugin is reported and left out; a broken file is an error."""
    from .. import samplers

    for sentence in samplers.load_plugins().values():
        err.print(f"warning: {sentence}", markup=False)
    for file in files or ():
        samplers.load_file(file)


def selected(
    suite: str, model: list[str] | None, sampler: list[str] | None, schedule: list[str] | None, steps: str | None, nfe: str | None,
    samples: int | None, seed: int | None, batch_size: int | None, dtype: str | None,
) -> Any:  # fmt: skip
    """The suite with the axes that the command line replaces."""
    from .suite import load_suite

    if steps is not None and nfe is not None:
        raise ValueError("give --steps or --nfe, not both")
    return load_suite(suite).replaced(
        models=model or None, samplers=sampler or None, schedules=schedule or None, steps=integers(steps, "--steps"),
        nfe=integers(nfe, "--nfe"), samples=samples, seed=seed, batch_size=batch_size, dtype=dtype,
    )  # fmt: skip


SuiteName = Annotated[str, typer.Argument(help="Built-in suite (samplerbench list suites) or path of a TOML file.")]
ModelOption = Annotated[list[str] | None, typer.Option("--model", help="Replace the suite's models (repeatable).")]
SamplerOption = Annotated[list[str] | None, typer.Option("--sampler", help="Replace the samplers, e.g. heun or 'ddim(eta=0.5)'.")]
ScheduleOption = Annotated[list[str] | None, typer.Option("--schedule", help="Replace the schedules, e.g. 'karras(rho=5)'.")]
StepsOption = Annotated[str | None, typer.Option("--steps", help="Numbers of steps, e.g. 5,10,20.")]
NfeOption = Annotated[str | None, typer.Option("--nfe", help="Budgets of evaluations per sample; the largest grid that fits is run.")]
SamplesOption = Annotated[int | None, typer.Option("--samples", help="Samples per cell.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Root seed.")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Samples per batch.")]
DtypeOption = Annotated[str | None, typer.Option("--dtype", help="dtype of the state: float32 or float64.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


@app.command()
def run(
    suite: SuiteName, out_dir: Annotated[Path | None, typer.Option("--out", help="Run directory.")] = None,
    model: ModelOption = None, sampler: SamplerOption = None, schedule: ScheduleOption = None, steps: StepsOption = None,
    nfe: NfeOption = None, samples: SamplesOption = None, seed: SeedOption = None, batch_size: BatchOption = None,
    device: DeviceOption = "auto", dtype: DtypeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="torch threads (default: torch's own choice).")] = None,
    timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Whether to time the cells after sampling.")] = True,
    plugin: Plugins = None,
) -> None:  # fmt: skip
    """Run a suite: only what is missing in the run directory; then write its table and report."""
    import torch

    from ..results.terminal import print_table
    from .runner import Runner, default_out, pick_device

    load_plugins(plugin)
    resolved = selected(suite, model, sampler, schedule, steps, nfe, samples, seed, batch_size, dtype)
    if not timing:
        resolved = resolved.replaced(timing={**resolved.timing.model_dump(), "enabled": False})
    if threads is not None:
        torch.set_num_threads(threads)
    folder = out_dir or default_out(resolved)
    table = Runner(resolved, folder, device=pick_device(checked(device, "--device", ("auto", "cpu", "cuda"))), console=err)()
    print_table(table, out, metric=ranked_by(table))
    counts = Counter(table.frame["status"])
    if troubled := len(table) - counts["ok"]:
        kinds = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "ok")
        out.print(f"{troubled} of {len(table)} cells are not ok ({kinds}); samplerbench status {folder} says why.", markup=False)
    _report([folder], None)


def checked(value: str, option: str, allowed: tuple[str, ...]) -> str:
    """``value`` if it is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{option} {value!r}: choose one of {', '.join(allowed)}")
    return value


@app.command("plan")
def plan_command(
    suite: SuiteName, model: ModelOption = None, sampler: SamplerOption = None, schedule: ScheduleOption = None,
    steps: StepsOption = None, nfe: NfeOption = None, samples: SamplesOption = None, seed: SeedOption = None,
    batch_size: BatchOption = None, device: DeviceOption = "auto", dtype: DtypeOption = None, plugin: Plugins = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Show what would run, how many network evaluations it takes, and how long that is here."""
    from .forecast import forecast
    from .planner import load_models, load_references, plan
    from .runner import expected, pick_device

    load_plugins(plugin)
    resolved = selected(suite, model, sampler, schedule, steps, nfe, samples, seed, batch_size, dtype)
    where = pick_device(checked(device, "--device", ("auto", "cpu", "cuda")))
    models = {name: m.to(where) if where != "cpu" else m for name, m in load_models(resolved).items()}
    cells = plan(resolved, models, load_references(models), where)
    if as_json:
        rows = [{"name": c.key, **c.record(resolved.name), "skip": c.skip, "expected": expected(models[c.model], c)} for c in cells]
        return out.print_json(json.dumps(rows))
    rows = forecast(models, cells, where)
    table = Table("model", "cells", "evaluations", "network time here", title=f"{resolved.name}: {len(cells)} cells", title_justify="left")
    for row in rows:
        note = f" ({row.adaptive} adaptive, guessed)" if row.adaptive else ""
        table.add_row(row.model, f"{row.cells}{note}", f"{row.evaluations:,.0f}", duration(row.seconds))
    out.print(table)
    pace = f", and timing about {duration(resolved.timing.seconds)} a model" if resolved.timing.enabled else ""
    return out.print(f"Sampling takes about {duration(sum(row.seconds for row in rows))}; references and scoring come on top{pace}.")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="Run directory.")], as_json: Json = False) -> None:
    """Show what is done, failed and missing in a run directory."""
    import pandas as pd

    from ..results.table import load

    records = load(folder).frame.to_dict(orient="records")
    counts = Counter(row["status"] for row in records)
    if as_json:
        rows = [{"name": row["cell"], **{k: None if v is pd.NA else v for k, v in row.items()}} for row in records]
        return out.print_json(json.dumps(rows))
    out.print(f"{len(records)} cells: " + ", ".join(f"{n} {s}" for s, n in counts.items()), markup=False)
    for row in records:
        if row["status"] not in ("ok", "missing"):
            out.print("  {status}: {model} {sampler} steps={steps}: {reason}".format(**row), markup=False)
    return None


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="One or more run directories.")],
    to: Annotated[Path | None, typer.Option("--out", help="Path of the HTML file.")] = None,
) -> None:
    """Write the report: one HTML file that needs no network, and the table as CSV and Markdown."""
    _report(folders, to)


def _report(folders: list[Path], to: Path | None) -> None:
    from ..results.report import write_report

    if to is None and len(folders) > 1:
        raise ValueError("say where the report of several runs goes, with --out FILE.html")
    path = write_report(folders, to or folders[0])
    out.print(f"Report: {path}", markup=False, soft_wrap=True)


@app.command()
def show(folder: Annotated[Path, typer.Argument(help="Run directory.")]) -> None:
    """Print the ranking of a run."""
    from ..results.table import load
    from ..results.terminal import print_table

    table = load(folder)
    print_table(table, out, metric=ranked_by(table))


def ranked_by(table: Any) -> str:
    """The column that a ranking uses: the first of these that has a value."""
    return next((name for name in ("fid_proxy", "rmse") if table.frame[name].notna().any()), "fid_proxy")


@app.command("list")
def list_command(
    kind: Annotated[str, typer.Argument(help="samplers, schedules, models, metrics or suites.")],
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """List what there is."""
    from .listing import KINDS

    load_plugins(plugin)
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        raise ValueError(f"cannot list {kind!r}; " + (f"did you mean {close[0]}?" if close else f"choose one of {', '.join(KINDS)}"))
    rows = KINDS[kind]()
    if as_json:
        return out.print_json(json.dumps(rows, default=str))
    hidden = {"url", "deviations", "options", "identity", "origin", "source"}
    columns = [key for key in rows[0] if key not in hidden]
    table = Table(*columns, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(cell_text(row[key]) for key in columns))
    return out.print(table)


def cell_text(value: Any) -> str:
    """A value of a listing, for people."""
    if value is None or value is False or value == "":
        return ""
    if value is True:
        return "yes"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).replace("[", "\\[")


@app.command()
def check(
    sampler: Annotated[str, typer.Argument(help="Sampler, e.g. heun or 'ddim(eta=0.5)'.")], plugin: Plugins = None, as_json: Json = False
) -> None:
    """Check a sampler: measured order, evaluations, purity, batch independence, exact moments, ends. Exit code 1 if a check fails."""
    from .. import samplers
    from .conformance import check_sampler, print_conformance
    from .spec import parse_spec

    load_plugins(plugin)
    result = check_sampler(samplers.make(parse_spec(sampler)))
    if as_json:
        out.print_json(json.dumps(result.as_dict(), default=str))
    else:
        print_conformance(result, out)
    if not result.passed:
        raise typer.Exit(1)


@app.command("new-solver")
def new_solver(
    name: Annotated[str, typer.Argument(help="Registry name of the sampler, e.g. my_solver.")],
    folder: Annotated[Path, typer.Option("--out", help="Where to make the package.")] = Path(),
) -> None:
    """Write a plugin package with one working sampler and its test."""
    from . import scaffold

    load_plugins(None)
    path = scaffold.new_solver(name, folder)
    out.print(f"Wrote {path}. Next:", markup=False, soft_wrap=True)
    for line in scaffold.next_steps(name, path):
        out.print(f"  {line}", markup=False, soft_wrap=True)


@app.command()
def cite(sampler: Annotated[list[str], typer.Argument(help="Samplers.")]) -> None:
    """Print the BibTeX entries of samplers."""
    from .. import samplers

    load_plugins(None)
    out.print(samplers.bibtex([samplers.get(name).source.key for name in sampler]), markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: a user's mistake is one sentence and exit code 2, never a traceback (unless SAMPLERBENCH_TRACEBACK is set)."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("SAMPLERBENCH_TRACEBACK"):
            raise
        sentence = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        err.print(f"error: {sentence}", markup=False, soft_wrap=True)
        sys.exit(2)
