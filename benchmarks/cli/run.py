"""``run``, ``plan`` and ``samples``: a suite, with what the command line replaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .common import isolation as isolating
from .common.console import duration, err, out, print_json, print_rows, say
from .common.options import (
    DEVICES,
    AcceleratorOption,
    ExecutorOption,
    FreshOption,
    GpusOption,
    IsolationOption,
    Json,
    MemoryLimitOption,
    RayAddressOption,
    RetryOption,
    RunJobsOption,
    SuiteName,
    SuiteOptions,
    TimeLimitOption,
    checked,
    execution,
    load_plugins,
    selected,
    taking,
)
from .compare import share
from .results import print_ranking, write

if TYPE_CHECKING:
    from ...results.result_table import ResultTable
    from ..running.executors import Executor
    from ..running.sequential import InterimAnalyses
    from ..suites.suite import Suite, Until

WITHOUT = ("undecided", "futile", "not compared", "failed")
"""Verdicts that decide nothing; their reasons are printed."""
_MOST_REASONS = 6
_MOST_NAMES = 3


@taking(SuiteOptions)
def run(
    suite: SuiteName,
    options: SuiteOptions,
    executor: ExecutorOption = None,
    isolation: IsolationOption = None,
    time_limit: TimeLimitOption = None,
    memory_limit: MemoryLimitOption = None,
    retry: RetryOption = False,
    fresh: FreshOption = False,
    jobs: RunJobsOption = None,
    ray_address: RayAddressOption = None,
    gpus_per_worker: GpusOption = None,
    accelerator: AcceleratorOption = None,
) -> None:
    """Run a suite: only what is missing in the run directory; then write its table and report."""
    _refuse_frontier(suite)
    if options.device != "cpu":
        isolating.take_gpu_of_rank()
    on_ray = isolating.OnRay(ray_address, gpus_per_worker, accelerator)
    runs_in = on_ray.executor(executor, isolation, jobs, memory_limit)
    if runs_in is None:
        runs_in = (
            isolating.executor(executor, isolation, time_limit, memory_limit)
            if jobs is None
            else isolating.several(jobs, options.device, executor, isolation, memory_limit)
        )
    with closing(runs_in):
        _run(suite, options, runs_in, time_limit, retry=retry, fresh=fresh)


def _run(
    suite: str,
    options: SuiteOptions,
    runs_in: Executor,
    time_limit: float | None,
    *,
    retry: bool,
    fresh: bool,
) -> None:
    if isolating.looks_new(suite, options.out_dir):
        runs_in.start()  # its imports take as long as ours, at the same time

    from ...results.run_directory.layout import explain_write_errors
    from ..running import runner
    from ..running.sequential import run_until_decided
    from ..running.setup import default_out, pick_device, set_up
    from ..sampling.execution import check_executions

    load_plugins(options.plugin, options.peers_path)
    resolved = _resolve(suite, options)
    folder = options.out_dir or default_out(resolved)
    where = pick_device(checked(options.device, "--device", DEVICES), resolved)
    check_executions(resolved.execution, where)  # before models are loaded, which may take minutes
    if resolved.timing.enabled:
        runs_in.alone(where)  # likewise, whether that can be
    with isolating.stoppable(folder, runs_in), explain_write_errors(folder):
        if fresh:
            _forget(folder)
        setup = set_up(
            resolved,
            folder,
            device=where,
            console=err,
            executor=runs_in,
            time_limit=time_limit,
            join=resolved.until is None,
        )
        if resolved.until:
            table, looks = run_until_decided(setup, resolved.until, retry=retry)
        else:
            table, looks = runner.run_or_join(setup, retry=retry), None
        doubt = "" if table is None else setup.probes.nonconforming(setup.cells, table)
    if table is None:
        say(f"All samples are there; the process that began in {folder} scores them.")
        return
    print_ranking(table, folder)
    if doubt:
        say(doubt)
    if looks:
        print_answer(looks)
    code = say_troubles(table, {cell.key for cell in setup.cells}, folder)
    write([folder], None, anew=False)
    if code:
        raise typer.Exit(code)
    return


@taking(SuiteOptions)
def plan(suite: SuiteName, options: SuiteOptions, as_json: Json = False) -> None:
    """Show what would run, how many network evaluations it takes, and how long that is here."""
    _refuse_frontier(suite)

    from ..planning.native import warn_of_drowned
    from ..planning.planner import load_models
    from ..planning.planner import plan as plan_suite
    from ..running.executors.shard_limits import expected
    from ..running.forecast import forecast
    from ..running.setup import default_out, pick_device
    from ..sampling.execution import check_executions
    from ..scoring.references import load_references

    load_plugins(options.plugin, options.peers_path)
    resolved = _resolve(suite, options)
    where = pick_device(checked(options.device, "--device", DEVICES), resolved)
    check_executions(resolved.execution, where)
    models = load_models(resolved, where)
    references = load_references(models, resolved.extractors, resolved.reference)
    cells = plan_suite(resolved, models, references, where)
    warn_of_drowned(cells, models)
    if as_json:
        rows = [
            {
                "name": c.key,
                **c.record(resolved.name),
                "skip": c.skip,
                "expected": expected(models[c.model], c),
            }
            for c in cells
        ]
        return print_json(rows)
    rows, doubts = forecast(resolved, models, references, cells, where)
    columns = ("model", "cells", "evaluations", "sampling", "references", "scoring")
    table = Table(*columns, title=f"{resolved.name}: {len(cells)} cells", title_justify="left")
    for row in rows:
        note = f" ({row.adaptive} adaptive, guessed)" if row.adaptive else ""
        times = (duration(seconds) for seconds in (row.seconds, row.references, row.scoring))
        table.add_row(row.model, f"{row.cells}{note}", f"{row.evaluations:,.0f}", *times)
    out.print(table)
    if done := _done(options.out_dir or default_out(resolved), {cell.key for cell in cells}):
        out.print(done, markup=False)
    sampling, solving, scoring = (
        sum(part)
        for part in zip(*((row.seconds, row.references, row.scoring) for row in rows), strict=True)
    )
    pace = (
        f", and timing about {duration(resolved.timing.seconds)} a model"
        if resolved.timing.enabled
        else ""
    )
    say(
        f"Sampling takes about {duration(sampling)} here, references {duration(solving)} and "
        f"scoring {duration(scoring)}{pace}."
    )
    if solving > sampling:
        say(
            "Fewer --reference-samples and --converged-samples make the references "
            "quicker, and rmse and fd_conv less sure."
        )
    if doubts:
        say(
            f"This machine is busy, so that all of it may take less than that: {'; '.join(doubts)}."
        )
    return None


@taking(SuiteOptions)
def samples(
    suite: SuiteName,
    options: SuiteOptions,
    quantise: Annotated[
        str,
        typer.Option("--quantise", help="How values become 8 bits: round or truncate (as ADM)."),
    ] = "round",
) -> None:
    """Write the images that run would score, so that any other evaluator can score them: one .npz
    file a cell, as ADM's has it.
    """
    _refuse_frontier(suite)

    from ..planning.planner import load_models
    from ..planning.planner import plan as plan_suite
    from ..running.setup import pick_device
    from ..sampling.exporting import check_exportable, export_samples
    from ..sampling.failure import Failure

    load_plugins(options.plugin, options.peers_path)
    resolved = _resolve(suite, options)
    rounding = checked(quantise, "--quantise", ("round", "truncate"))
    where = pick_device(checked(options.device, "--device", DEVICES), resolved)
    models = load_models(resolved, where)
    for model in models.values():
        check_exportable(model)
    folder = options.out_dir or Path("samples") / f"{resolved.name}-{resolved.digest}"
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for cell in plan_suite(resolved, models, dict.fromkeys(models), where):
        path, label = folder / f"{cell.key}.npz", f"{cell.label} on {cell.model}"
        if cell.skip:
            say(f"{label}: left out, {cell.skip}")
            continue
        try:
            export_samples(
                models[cell.model], cell, path, "round" if rounding == "round" else "truncate"
            )
        except Failure as failure:
            failed = True
            say(f"{label}: {failure.reason}")
            continue
        say(f"{path}: {cell.samples:,} samples of {label}")
    if failed:
        raise typer.Exit(1)


def _forget(folder: Path) -> None:
    """Set aside for good what a run directory holds, and what was searched for models."""
    from ...results.run_directory.run_dir import RunDir
    from ..planning.cache import default_cache, forget_searches

    run = RunDir.at(folder)
    if (folder / "run.json").exists():
        with run.lock():
            run.set_all_aside("it was made before --fresh was asked for", returns=False)
    forget_searches(default_cache())


def _refuse_frontier(suite: str) -> None:
    """Refuse the frontier, which once was run as a suite, with a ValueError."""
    if suite == "frontier":
        raise ValueError(
            "the frontier is no suite but a command of its own; write "
            "samplerbench frontier (its --help has the options)"
        )


def _resolve(suite: str, options: SuiteOptions) -> Suite:
    """Set torch's threads; return the suite that ``run`` or ``plan`` is to use."""
    import torch

    chosen = selected(
        suite,
        models=options.model,
        samplers=options.sampler,
        schedules=options.schedule,
        steps=options.steps,
        nfe=options.nfe,
        start=options.start,
        noise=options.noise,
        samples=options.samples,
        seed=options.seed,
        batch_size=options.batch_size,
        dtype=options.dtype,
        execution=execution(options.compiled, options.cuda_graph),
        extractor=options.extractor,
        reference=options.reference,
        reference_samples=options.reference_samples,
        converged_samples=options.converged_samples,
        path_curvature=options.path_curvature or None,
        trust=options.trust_suite,
    )
    resolved = with_sequential_options(
        chosen,
        decided=options.until_decided,
        target_se=options.target_se,
        baseline=options.baseline,
        metric=options.metric,
        margin=options.margin,
        most=options.max_samples,
    )
    if not options.timing:
        resolved = resolved.replaced(timing={**resolved.timing.model_dump(), "enabled": False})
    if options.timing_minutes is not None:
        timing = {**resolved.timing.model_dump(), "minutes": options.timing_minutes}
        resolved = resolved.replaced(timing=timing)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return resolved


def _done(folder: Path, cells: set[str]) -> str:
    """Return how much of a plan its run directory has already; "" if there is no run directory."""
    from ...results.result_table import load

    if not (folder / "parts").is_dir():
        return ""
    count = sum(row["cell"] in cells for row in load(folder).ok.frame.to_dict(orient="records"))
    return f"{count} of these cells have results in {folder}; run goes on from there."


def with_sequential_options(
    suite: Suite,
    *,
    decided: bool,
    target_se: float | None,
    baseline: str | None,
    metric: str | None,
    margin: str | None,
    most: int | None,
) -> Suite:
    """Return the suite with the command line's options of sequential sampling.

    Raises:
        ValueError: an option that says how to stop, where nothing says when; or a value that makes
            no sense.
    """
    from ...samplers.spec import parse_spec

    options: dict[str, Any] = {
        "target_se": target_se, "baseline": baseline, "metric": metric, "max_samples": most,
        "margin": None if margin is None else share(margin, "--margin"),
    }  # fmt: skip
    options = {key: value for key, value in options.items() if value is not None}
    previous = {} if suite.until is None else suite.until.model_dump()
    if options and not (decided or target_se is not None or previous):
        raise ValueError(
            f"--{next(iter(options)).replace('_', '-')} says how to extend "
            "rows; give --until-decided or --target-se with it"
        )
    if decided and not (baseline or previous.get("baseline")):
        options["baseline"] = parse_spec(suite.samplers[0])["name"]
    return suite.replaced(until={**previous, **options}) if options else suite


def print_answer(looks: InterimAnalyses) -> None:
    """Print each row with its verdict, and what the verdicts can bear."""
    from ...results.comparison.significance import LEVEL

    rows = [{**row, "interval": _interval(row), "name": row["curve"]} for row in looks.rows]
    print_rows(rows, _columns(looks.until))
    counts = Counter(row["verdict"] for row in rows)
    say(
        f"{looks.number} looks at {looks.until.column}: "
        + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        + "."
    )
    for reason, n in Counter(
        row["reason"] for row in rows if row["reason"] and row["verdict"] in WITHOUT
    ).items():
        say(f"{n} without a decision: {reason}.")
    if looks.until.baseline is not None:
        say(
            f"Against {looks.until.baseline}, lower is better; verdicts hold together at "
            f"{LEVEL:.0%}, over rows and looks. Δ is as last seen."
        )
    out.print()


def _columns(until: Until) -> dict[str, str]:
    columns = {"name": "sampler", "model": "model", "budget": "NFE", "samples": "samples"}
    return (
        columns
        | ({} if until.baseline is None else {"interval": "Δ [95 %]"})
        | {"verdict": "verdict"}
    )


def _interval(row: dict[str, Any]) -> str:
    """Return ``Δ [low, high]`` with two digits."""
    from ...results.text import format_number

    if row.get("low") is None:
        return ""
    return f"{format_number(row['difference'], 2)} [{format_number(row['low'], 2)}, {format_number(row['high'], 2)}]"


def say_troubles(table: ResultTable, cells: Collection[str], folder: Path) -> int:
    """Print how many of the run's cells have no result, and a line for each reason.

    Args:
        table: of the run directory, which may hold cells of other runs too.
        cells: keys of the cells that were asked for.
        folder: the run directory.

    Returns:
        The exit code: 1 if there are cells and none of them is ok, else 0.
    """
    rows = [
        row for row in table.frame.astype(object).to_dict(orient="records") if row["cell"] in cells
    ]
    bad = [row for row in rows if row["status"] != "ok"]
    if not bad:
        return 0
    kinds = ", ".join(
        f"{n} {status}" for status, n in Counter(row["status"] for row in bad).items()
    )
    say(
        f"{len(bad)} of {len(rows)} cells are not ok ({kinds}); samplerbench status "
        f"{folder} says why."
    )
    reasons: dict[str, list[str]] = {}
    for row in bad:
        reason = row["reason"] if isinstance(row["reason"], str) else "no reason is on record"
        reasons.setdefault(f"{row['status']}: {reason}", []).append(
            f"{row['model']} {row['sampler']}"
        )
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    for reason, names in ordered[:_MOST_REASONS]:
        say(f"  {len(names)} {reason} ({_few(names)})")
    if len(ordered) > _MOST_REASONS:
        say(f"  … and {len(ordered) - _MOST_REASONS} other reasons")
    return int(len(bad) == len(rows))


def _few(names: list[str]) -> str:
    """Return the first of some names, each once."""
    once = list(dict.fromkeys(names))
    return ", ".join(once[:_MOST_NAMES]) + (
        f" and {len(once) - _MOST_NAMES} more" if len(once) > _MOST_NAMES else ""
    )
