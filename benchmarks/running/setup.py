"""Setup of a run: models, references, cells and limits, all checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ...models.denoiser import Denoiser
from ...models.reference import Reference
from ...results.run_directory.behaviour_fingerprint import Fingerprint
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...samplers import karras
from ..identity.admission import Admission, ModelFingerprints, without_levels
from ..identity.model import extractor_fingerprint, first_fingerprint, outputs_at, runs_users_code
from ..identity.sampler import files_of_sampler
from ..planning.native import warn_if_noise_hides_data
from ..planning.planner import load_models, plan
from ..sampling.shard import unseeded_draws
from ..scoring.converged_endpoints import CONVERGED_STEPS
from ..scoring.feature_references import load_references
from ..scoring.versions import requested_metrics
from ..suites.cell import Cell, start_errors
from ..suites.suite import Suite
from .executors import Executor, Failure, InProcess
from .executors.shard_limits import SHORTEST_COMPILED, FittingBatchSizes, ShardTimeLimits
from .executors.tasks import ThroughputTask
from .executors.worker_context import WorkerConfig, WorkerContext
from .file_watch import FileWatch
from .model_check import check_model
from .provenance import citations, provenance
from .sampler_probes import SamplerProbes


@dataclass(frozen=True)
class Setup:
    """Inputs of a run, checked and planned. Mappings are by model name."""

    suite: Suite
    directory: RunDir  # created when a run locks it
    device: str
    console: Console
    executor: Executor  # runs the tasks that sample
    models: Mapping[str, Denoiser]  # on the device, like the references
    references: Mapping[str, Reference | None]
    cells: Sequence[Cell]
    context: WorkerContext  # models for the tasks
    limits: ShardTimeLimits
    makers: Mapping[str, ModelFingerprints]  # fingerprints of models and their extractors
    probes: SamplerProbes  # fingerprints of samplers
    about: Mapping[str, Any]  # content of run.json
    watch: FileWatch  # detects changes in the user's files
    batches: FittingBatchSizes = field(default_factory=FittingBatchSizes)

    def watch_files_of_models(self, admission: Admission) -> None:
        """Let ``watch`` add to a model's record the files that it opens after its fingerprint."""
        for name, (model, extractor, folder) in self.makers.items():
            prints = [model, extractor] if extractor else [model]
            prints += [self.probes.fingerprint(cell) for cell in self.cells_of(name)]
            self.watch.add_model(name, admission.digests[name][0], folder, prints)

    def cells_of(self, model: str) -> list[Cell]:
        """Return the cells of one model, in the order of the plan."""
        return [cell for cell in self.cells if cell.model == model]


def set_up(
    suite: Suite,
    out: Path,
    *,
    device: str,
    console: Console,
    executor: Executor | None = None,
    time_limit: float | None = None,
    join: bool = False,
    write: bool = True,
) -> Setup:
    """Load, check and plan a suite, and return the inputs of its run; ``out`` stays unchanged.

    ``device`` is "cpu" or "cuda". ``executor`` runs the tasks that sample; None runs them in this
    process. A shard of samples may take ``time_limit`` seconds; 0 is no limit, None a multiple of
    a forecast. An executor without ``keeps_limits`` has no limit. ``join`` is True if another
    process may run in ``out`` (:func:`.runner.run_or_join`). If ``write`` is False, no run follows,
    and ``out`` must be a run directory already.

    Raises:
        ValueError: something in the suite does not exist, a model fails its check, ``out`` cannot
            be a run directory, or another process runs there and ``join`` is False.
    """
    # an unknown metric or a used folder is reported first: models can take minutes
    requested_metrics(suite.metrics)
    directory = RunDir.at(out, join=join) if write else RunDir.open(out)
    executor = executor or InProcess()
    models, watch = load_models(suite, device), FileWatch(directory)
    for model in models.values():
        watch.watch_files(model.read.paths if model.read else ())
        with suppress(Exception), watch.recording_opened_files():  # the check will give the reason
            first_fingerprint(model, device)
    with watch.recording_opened_files():  # the references' identities name these files
        references = load_references(models, suite.extractors, suite.reference)
    for name, reference in references.items():
        if reference is not None and reference.note:
            log.warning("model %s: --reference %s.", name, reference.note)
    with ExitStack() as opened:
        for name, model in models.items():
            if model.read is not None:
                opened.enter_context(watch.recording_files_of(name))
        cells = plan(suite, models, references, device)
    warn_if_noise_hides_data(cells, models)
    for sampler in {cell.sampler.name: cell.sampler for cell in cells}.values():
        watch.watch_files(files_of_sampler(sampler))
    extractors = {name: own.extractor if own else None for name, own in references.items()}
    for extractor in extractors.values():
        read = getattr(extractor, "read", None)
        watch.watch_files(read.paths if read else ())
    context = WorkerContext(
        WorkerConfig.of_this_process(suite.extractors, device), models, extractors
    )
    makers = {}
    for name, model in models.items():
        with watch.recording_files_of(name):
            own = [cell for cell in cells if cell.model == name]
            makers[name] = _check_and_fingerprint(suite, name, model, references[name], own, device)

    def measure_rate(cell: Cell) -> float:
        """Return the evaluations per second of a cell's model; infinity if it fails."""
        try:
            return executor.run(ThroughputTask(cell), context, limit=SHORTEST_COMPILED)
        except Failure:
            return inf

    return Setup(
        suite=suite,
        directory=directory,
        device=device,
        console=console,
        executor=executor,
        models=models,
        references=references,
        cells=cells,
        context=context,
        limits=ShardTimeLimits(models, time_limit if executor.keeps_limits else 0, measure_rate),
        makers=makers,
        watch=watch,
        probes=SamplerProbes(directory, context, executor, time_limit),
        about={
            "suite": suite.model_dump(mode="json"),
            "provenance": provenance(device),
            "models": {name: model.identity for name, model in models.items()},
            "citations": citations(cell.sampler for cell in cells),
            "references": {
                name: {"identity": reference.identity, "n": reference.n, "note": reference.note}
                for name, reference in references.items()
                if reference is not None
            },
            "start_errors": {name: start_errors(model) for name, model in models.items()},
            "fingerprints": {
                name: without_levels(fingerprints.model).to_json()
                for name, fingerprints in makers.items()
            },
        },
    )


@torch.no_grad()
def _check_and_fingerprint(
    suite: Suite,
    name: str,
    model: Denoiser,
    reference: Reference | None,
    cells: Sequence[Cell],
    device: str,
) -> ModelFingerprints:
    """Return the fingerprints of a model and its extractor; raise a ValueError for a defect."""
    is_users = model.read is not None
    real = suite.reference if is_users and model.decoder is None else None  # images are no latents
    data = None
    if real is not None:
        from ..scoring.real_data import held_out_samples

        data = held_out_samples(model, real)
    check_model(model, reference, data=data, denoising=is_users, device=device)
    try:
        extractor = reference and extractor_fingerprint(
            reference.extractor, model.decoded_event, reference.clamp, device
        )
    except Exception as error:
        raise ValueError(
            f"the extractor of model {name} fails on noise ({type(error).__name__}: {error})"
        ) from error
    folder = model.read.folder if model.read else Path()
    fingerprint = first_fingerprint(model, device)
    if runs_users_code(model):
        dtype = getattr(torch, suite.dtype) if suite.dtype else model.dtype
        fingerprint = _with_outputs_at_levels(fingerprint, model, cells, dtype, device)
    return ModelFingerprints(fingerprint, extractor, folder)


def _with_outputs_at_levels(
    fingerprint: Fingerprint,
    model: Denoiser,
    cells: Sequence[Cell],
    dtype: torch.dtype,
    device: str,
) -> Fingerprint:
    """Add outputs at cells' levels to ``fingerprint``; raise a ValueError for unseeded draws."""
    converged = karras(CONVERGED_STEPS, model.sigma_min, model.sigma_max)
    grids = [converged, *(cell.grid for cell in cells if cell.grid and not cell.skip)]
    levels = {sigma for grid in grids for sigma in grid.sigma if sigma > 0}
    try:
        with unseeded_draws() as draws:
            values = outputs_at(model, sorted(levels), dtype, device)
    except Exception:  # the rows of the cells will give the reason
        return fingerprint
    if draws.sources:
        raise ValueError(
            f"model {model.name} draws from {' and '.join(draws.sources)}, so that no run gives its "
            "samples again; give it a generator of its own, seeded at each call"
        )
    return replace(fingerprint, values={**fingerprint.values, **values})


def default_run_folder(suite: Suite) -> Path:
    """Return the default run directory of a suite, in ``results/runs``."""
    return Path("results") / "runs" / f"{suite.name}-{suite.digest}"


def resolve_device(device: str, suite: Suite | None = None) -> str:
    """Return "cpu" or "cuda"; "auto" becomes "cuda" if torch sees a GPU.

    Raises a ValueError for "cuda" without a GPU, or "auto" without one if the suite needs one.
    """
    if device == "cpu" or torch.cuda.is_available():
        return "cuda" if device == "auto" else device
    if device == "auto" and suite is not None and suite.device == "cuda":
        raise ValueError(
            f"suite {suite.name} is made for a CUDA GPU, and torch sees none here; try a "
            "part of it with --device cpu, such as "
            "--model fashion --sampler euler --sampler heun --nfe 5 --samples 16 --batch-size 8"
        )
    if device == "cuda":
        raise ValueError(
            "--device cuda: torch sees no CUDA device here; use --device "
            "cpu, or install a CUDA build of torch"
        )
    return "cpu"
