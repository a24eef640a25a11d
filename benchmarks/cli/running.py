"""``run`` and ``plan``: a suite, with what the command line replaces."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from . import frontier, until
from .console import duration, err, out, print_json
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
) -> None:  # fmt: skip
    """Run a suite: only what is missing in the run directory; then write its table and report."""
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
            "--extractor": extractor, "--real": real,
        }  # fmt: skip
        return frontier.run_frontier(out_dir, model, nfe, samples, seed, others)
    resolved = selected(
        suite, models=model, samplers=sampler, schedules=schedule, steps=steps, nfe=nfe, start=start, noise=noise, samples=samples,
        seed=seed, batch_size=batch_size, dtype=dtype, execution=execution(compiled, cuda_graph),
        extractor=extractor, real=real,
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
    runner = Runner(resolved, folder, device=where, console=err)
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
    cuda_graph: CudaGraphOption = False, plugin: Plugins = None, peers_path: PeersPath = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Show what would run, how many network evaluations it takes, and how long that is here."""
    from ..execution import check_executions
    from ..forecast import forecast
    from ..planner import load_models
    from ..planner import plan as plan_suite
    from ..references import load_references
    from ..runner import expected, pick_device

    load_plugins(plugin, peers_path)
    resolved = selected(
        suite, models=model, samplers=sampler, schedules=schedule, steps=steps, nfe=nfe, start=start, noise=noise, samples=samples,
        seed=seed, batch_size=batch_size, dtype=dtype, execution=execution(compiled, cuda_graph),
        extractor=extractor, real=real,
    )  # fmt: skip
    where = pick_device(checked(device, "--device", DEVICES), resolved)
    check_executions(resolved.execution, where)
    models = {name: m.to(where) if where != "cpu" else m for name, m in load_models(resolved).items()}
    cells = plan_suite(resolved, models, load_references(models, resolved.extractors, resolved.real), where)
    if as_json:
        rows = [{"name": c.key, **c.record(resolved.name), "skip": c.skip, "expected": expected(models[c.model], c)} for c in cells]
        return print_json(rows)
    rows = forecast(models, cells, where)
    table = Table("model", "cells", "evaluations", "network time here", title=f"{resolved.name}: {len(cells)} cells", title_justify="left")
    for row in rows:
        note = f" ({row.adaptive} adaptive, guessed)" if row.adaptive else ""
        table.add_row(row.model, f"{row.cells}{note}", f"{row.evaluations:,.0f}", duration(row.seconds))
    out.print(table)
    pace = f", and timing about {duration(resolved.timing.seconds)} a model" if resolved.timing.enabled else ""
    return out.print(f"Sampling takes about {duration(sum(row.seconds for row in rows))}; references and scoring come on top{pace}.")
