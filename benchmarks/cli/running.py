"""``run`` and ``plan``: a suite, with what the command line replaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from . import frontier, isolating, until
from .console import duration, err, out, print_json, say
from .options import (
    DEVICES,
    BatchOption,
    CompileOption,
    CudaGraphOption,
    DeviceOption,
    DtypeOption,
    ExtractorOption,
    Json,
    ModelOption,
    NfeOption,
    NoiseOption,
    OutOption,
    PeersPath,
    Plugins,
    RealOption,
    SamplerOption,
    SamplesOption,
    ScheduleOption,
    SeedOption,
    StartOption,
    StepsOption,
    SuiteName,
    ThreadsOption,
    TimingOption,
    TrustOption,
    checked,
    execution,
    load_plugins,
    selected,
)
from .results import print_ranking, write
from .troubles import say_troubles

if TYPE_CHECKING:
    from ..suites.suite import Suite


def run(
    suite: SuiteName, out_dir: OutOption = None,
    model: ModelOption = None, sampler: SamplerOption = None, schedule: ScheduleOption = None, steps: StepsOption = None,
    nfe: NfeOption = None, start: StartOption = None, noise: NoiseOption = None, samples: SamplesOption = None, seed: SeedOption = None,
    batch_size: BatchOption = None, device: DeviceOption = "auto", dtype: DtypeOption = None,
    threads: ThreadsOption = None, timing: TimingOption = True,
    extractor: ExtractorOption = None, real: RealOption = None, compiled: CompileOption = False, cuda_graph: CudaGraphOption = False,
    plugin: Plugins = None, peers_path: PeersPath = None, trust_suite: TrustOption = False,
    until_decided: until.UntilDecided = False, target_se: until.TargetSe = None, baseline: until.Baseline = None,
    metric: until.Metric = None, margin: until.Margin = None, max_samples: until.MaxSamples = None,
    reference_samples: isolating.ReferenceSamples = None, converged_samples: isolating.ConvergedSamples = None,
    path_curvature: isolating.PathCurvature = False,
    isolation: isolating.Isolation = True, time_limit: isolating.TimeLimit = None, memory_limit: isolating.MemoryLimit = None,
    retry: isolating.Retry = False,
) -> None:  # fmt: skip
    """Run a suite: only what is missing in the run directory; then write its table and report."""
    executor = isolating.executor(isolation, time_limit, memory_limit)
    if suite != frontier.NAME and isolating.looks_new(suite, out_dir):
        executor.start()  # its imports take as long as ours, at the same time

    from ..running.runner import Runner, default_out, pick_device
    from ..running.sequential import Sequential
    from ..sampling.execution import check_executions

    load_plugins(plugin, peers_path)
    if suite == frontier.NAME:
        others = {
            "--until-decided": until_decided or None, "--target-se": target_se, "--max-samples": max_samples,
            "--sampler": sampler, "--schedule": schedule, "--steps": steps, "--start": start, "--noise": noise,
            "--batch-size": batch_size, "--dtype": dtype, "--compile": compiled or None, "--cuda-graph": cuda_graph or None,
            "--extractor": extractor, "--real": real, "--time-limit": time_limit, "--memory-limit": memory_limit, "--retry": retry or None,
            "--reference-samples": reference_samples, "--converged-samples": converged_samples, "--path-curvature": path_curvature or None,
        }  # fmt: skip
        return frontier.run_frontier(out_dir, model, nfe, samples, seed, others)
    resolved = _resolved(
        suite, models=model, samplers=sampler, schedules=schedule, steps=steps, nfe=nfe, start=start, noise=noise, samples=samples,
        seed=seed, batch_size=batch_size, dtype=dtype, execution=execution(compiled, cuda_graph), extractor=extractor, real=real,
        reference_samples=reference_samples, converged_samples=converged_samples, path_curvature=path_curvature or None,
        trust=trust_suite, threads=threads, timing=timing,
        question={
            "decided": until_decided, "target_se": target_se, "baseline": baseline, "metric": metric, "margin": margin,
            "most": max_samples,
        },
    )  # fmt: skip
    folder = out_dir or default_out(resolved)
    where = pick_device(checked(device, "--device", DEVICES), resolved)
    check_executions(resolved.execution, where)  # before models are loaded, which may take minutes
    with isolating.stoppable(folder, executor):
        runner = Runner(resolved, folder, device=where, console=err, executor=executor, time_limit=time_limit, retry=retry)
        looks = Sequential(runner, resolved.until) if resolved.until else None
        table = looks() if looks else runner()
    print_ranking(table)
    if looks:
        until.print_answer(looks)
    code = say_troubles(table, {cell.key for cell in runner.cells}, folder)
    write([folder], None, anew=False)
    if code:
        raise typer.Exit(code)
    return None


def plan(
    suite: SuiteName, out_dir: OutOption = None, model: ModelOption = None, sampler: SamplerOption = None,
    schedule: ScheduleOption = None, steps: StepsOption = None, nfe: NfeOption = None, start: StartOption = None,
    noise: NoiseOption = None, samples: SamplesOption = None, seed: SeedOption = None, batch_size: BatchOption = None,
    device: DeviceOption = "auto", dtype: DtypeOption = None, threads: ThreadsOption = None, timing: TimingOption = True,
    extractor: ExtractorOption = None, real: RealOption = None, compiled: CompileOption = False, cuda_graph: CudaGraphOption = False,
    plugin: Plugins = None, peers_path: PeersPath = None, trust_suite: TrustOption = False,
    until_decided: until.UntilDecided = False, target_se: until.TargetSe = None, baseline: until.Baseline = None,
    metric: until.Metric = None, margin: until.Margin = None, max_samples: until.MaxSamples = None,
    reference_samples: isolating.ReferenceSamples = None, converged_samples: isolating.ConvergedSamples = None,
    path_curvature: isolating.PathCurvature = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Show what would run, how many network evaluations it takes, and how long that is here."""
    from ..planning.planner import load_models
    from ..planning.planner import plan as plan_suite
    from ..running.executing.pace import expected
    from ..running.forecast import forecast
    from ..running.runner import default_out, pick_device
    from ..sampling.execution import check_executions
    from ..scoring.references import load_references

    load_plugins(plugin, peers_path)
    resolved = _resolved(
        suite, models=model, samplers=sampler, schedules=schedule, steps=steps, nfe=nfe, start=start, noise=noise, samples=samples,
        seed=seed, batch_size=batch_size, dtype=dtype, execution=execution(compiled, cuda_graph), extractor=extractor, real=real,
        reference_samples=reference_samples, converged_samples=converged_samples, path_curvature=path_curvature or None,
        trust=trust_suite, threads=threads, timing=timing,
        question={
            "decided": until_decided, "target_se": target_se, "baseline": baseline, "metric": metric, "margin": margin,
            "most": max_samples,
        },
    )  # fmt: skip
    where = pick_device(checked(device, "--device", DEVICES), resolved)
    check_executions(resolved.execution, where)
    models = {name: m.to(where) if where != "cpu" else m for name, m in load_models(resolved).items()}
    references = load_references(models, resolved.extractors, resolved.real)
    cells = plan_suite(resolved, models, references, where)
    if as_json:
        rows = [{"name": c.key, **c.record(resolved.name), "skip": c.skip, "expected": expected(models[c.model], c)} for c in cells]
        return print_json(rows)
    rows = forecast(resolved, models, references, cells, where)
    columns = ("model", "cells", "evaluations", "sampling", "references", "scoring")
    table = Table(*columns, title=f"{resolved.name}: {len(cells)} cells", title_justify="left")
    for row in rows:
        note = f" ({row.adaptive} adaptive, guessed)" if row.adaptive else ""
        times = (duration(seconds) for seconds in (row.seconds, row.references, row.scoring))
        table.add_row(row.model, f"{row.cells}{note}", f"{row.evaluations:,.0f}", *times)
    out.print(table)
    if done := _done(out_dir or default_out(resolved), {cell.key for cell in cells}):
        out.print(done, markup=False)
    sampling, made, scoring = (sum(part) for part in zip(*((row.seconds, row.references, row.scoring) for row in rows), strict=True))
    pace = f", and timing about {duration(resolved.timing.seconds)} a model" if resolved.timing.enabled else ""
    say(f"Sampling takes about {duration(sampling)} here, references {duration(made)} and scoring {duration(scoring)}{pace}.")
    if made > sampling:
        say("Fewer --reference-samples and --converged-samples make the references quicker, and rmse and fd_conv less sure.")
    if doubts := dict.fromkeys(doubt for row in rows for doubt in row.doubts):
        say(f"This machine is busy, so that all of it may take less than that: {'; '.join(doubts)}.")
    return None


def _resolved(suite: str, *, threads: int | None, timing: bool, question: dict[str, Any], **axes: Any) -> Suite:
    """The suite that ``run`` and ``plan`` are asked for, with torch's threads set."""
    import torch

    resolved = until.asked(selected(suite, **axes), **question)
    if not timing:
        resolved = resolved.replaced(timing={**resolved.timing.model_dump(), "enabled": False})
    if threads is not None:
        torch.set_num_threads(threads)
    return resolved


def _done(folder: Path, cells: set[str]) -> str:
    """How much of a plan its run directory has already; nothing if there is none."""
    from ...results.table import load

    if not (folder / "parts").is_dir():
        return ""
    count = sum(row["cell"] in cells for row in load(folder).ok.frame.to_dict(orient="records"))
    return f"{count} of these cells have results in {folder}; run goes on from there."
