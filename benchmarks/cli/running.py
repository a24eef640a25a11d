"""``run`` and ``plan``: a suite, with what the command line replaces."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

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
    checked,
    execution,
    load_plugins,
    selected,
)
from .results import print_ranking, write


def run(
    suite: SuiteName, out_dir: Annotated[Path | None, typer.Option("--out", help="Run directory.")] = None,
    model: ModelOption = None, sampler: SamplerOption = None, schedule: ScheduleOption = None, steps: StepsOption = None,
    nfe: NfeOption = None, start: StartOption = None, noise: NoiseOption = None, samples: SamplesOption = None, seed: SeedOption = None,
    batch_size: BatchOption = None, device: DeviceOption = "auto", dtype: DtypeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="torch threads (default: torch's own choice).")] = None,
    timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Whether to time the cells after sampling.")] = True,
    extractor: ExtractorOption = None, real: RealOption = None, compiled: CompileOption = False, cuda_graph: CudaGraphOption = False,
    plugin: Plugins = None, peers_path: PeersPath = None,
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

    import torch

    from ..execution import check_executions
    from ..runner import Runner, default_out, pick_device
    from ..sequential import Sequential

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
    resolved = selected(
        suite, models=model, samplers=sampler, schedules=schedule, steps=steps, nfe=nfe, start=start, noise=noise, samples=samples,
        seed=seed, batch_size=batch_size, dtype=dtype, execution=execution(compiled, cuda_graph),
        extractor=extractor, real=real, reference_samples=reference_samples, converged_samples=converged_samples,
        path_curvature=path_curvature or None,
    )  # fmt: skip
    resolved = until.asked(
        resolved, decided=until_decided, target_se=target_se, baseline=baseline, metric=metric, margin=margin, most=max_samples
    )
    if not timing:
        resolved = resolved.replaced(timing={**resolved.timing.model_dump(), "enabled": False})
    if threads is not None:
        torch.set_num_threads(threads)
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
    counts = Counter(table.frame["status"])
    if troubled := len(table) - counts["ok"]:
        kinds = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "ok")
        out.print(f"{troubled} of {len(table)} cells are not ok ({kinds}); samplerbench status {folder} says why.", markup=False)
    return write([folder], None)


def plan(
    suite: SuiteName, model: ModelOption = None, sampler: SamplerOption = None, schedule: ScheduleOption = None,
    steps: StepsOption = None, nfe: NfeOption = None, start: StartOption = None, noise: NoiseOption = None,
    samples: SamplesOption = None, seed: SeedOption = None, batch_size: BatchOption = None, device: DeviceOption = "auto",
    dtype: DtypeOption = None, extractor: ExtractorOption = None, real: RealOption = None, compiled: CompileOption = False,
    cuda_graph: CudaGraphOption = False, plugin: Plugins = None, peers_path: PeersPath = None,
    reference_samples: isolating.ReferenceSamples = None, converged_samples: isolating.ConvergedSamples = None,
    path_curvature: isolating.PathCurvature = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Show what would run, how many network evaluations it takes, and how long that is here."""
    from ..execution import check_executions
    from ..forecast import forecast
    from ..pace import expected
    from ..planner import load_models
    from ..planner import plan as plan_suite
    from ..references import load_references
    from ..runner import pick_device

    load_plugins(plugin, peers_path)
    resolved = selected(
        suite, models=model, samplers=sampler, schedules=schedule, steps=steps, nfe=nfe, start=start, noise=noise, samples=samples,
        seed=seed, batch_size=batch_size, dtype=dtype, execution=execution(compiled, cuda_graph),
        extractor=extractor, real=real, reference_samples=reference_samples, converged_samples=converged_samples,
        path_curvature=path_curvature or None,
    )  # fmt: skip
    where = pick_device(checked(device, "--device", DEVICES), resolved)
    check_executions(resolved.execution, where)
    models = {name: m.to(where) if where != "cpu" else m for name, m in load_models(resolved).items()}
    references = load_references(models, resolved.extractor, resolved.real)
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
    sampling, made, scoring = (sum(part) for part in zip(*((row.seconds, row.references, row.scoring) for row in rows), strict=True))
    pace = f", and timing about {duration(resolved.timing.seconds)} a model" if resolved.timing.enabled else ""
    say(f"Sampling takes about {duration(sampling)} here, references {duration(made)} and scoring {duration(scoring)}{pace}.")
    if made > sampling:
        say("Fewer --reference-samples and --converged-samples make the references quicker, and rmse and fd_conv less sure.")
    if doubts := dict.fromkeys(doubt for row in rows for doubt in row.doubts):
        say(f"This machine is busy, so that all of it may take less than that: {'; '.join(doubts)}.")
    return None
