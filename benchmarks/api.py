"""Python interface of the commands ``plan``, ``run``, ``advise``, ``tune`` and ``export``.

    import samplerbench
    samplerbench.run("smoke", samplers=["heun", MySampler()], models={"mine": my_model}, nfe=[5, 10])

Keywords replace values of the suite (:func:`run`). A model is a spec as ``--model`` takes it, or an object
such as :func:`~samplerbench.models.from_function` or :func:`~samplerbench.models.from_network` returns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from ..models.denoiser import Denoiser
from ..models.reference import Reference
from ..results.run_directory.layout import explain_write_errors
from ..results.run_directory.reading import log
from ..results.run_directory.run_dir import RunDir
from ..samplers.spec import format_spec
from .arguments import (
    Device,
    Models,
    SuiteArgument,
    as_sampler_list,
    load_installed,
    make_sampler,
    model_spec,
    resolve_device_argument,
    sampler_spec,
    suite_from_arguments,
)
from .exporting import export as export
from .planning.cache import default_cache, set_measurements_aside
from .planning.model_loading import load_denoiser
from .planning.planner import load_models
from .planning.planner import plan as plan_suite
from .running import runner
from .running.executors import Executor, Failure, InProcess
from .running.executors.executor import ignore_progress
from .running.setup import default_run_folder, set_up
from .sampling.execution import check_executions
from .scoring.feature_references import load_references
from .suites.cell import Cell, file_name
from .suites.suite import Suite

if TYPE_CHECKING:
    from ..results.result_table import ResultTable
    from .advice import Advice
    from .planning.tuned_file import Also, TunedEntry, What
    from .running.sequential_sampling import InterimAnalyses
    from .tuning.tuning import Target

HOLDOUTS = ("fashion-mppca", "gmm-64d")
"""Default hold-out models of :func:`tune`, which uses the first that is not the tuned model."""


def plan(
    suite: SuiteArgument | None = None,
    *,
    models: Models | None = None,
    samplers: Sequence[Any] | None = None,
    device: Device = "auto",
    **replaced: Any,
) -> list[Cell]:
    """Return the cells that a suite would run, without running them.

    Searches that schedules or the sampler ``auto`` need on a model run now, and are cached.

    Args:
        suite: see :func:`run`.
        models: see :func:`run`.
        samplers: see :func:`run`.
        device: where the suite would run; "auto" takes a CUDA GPU if there is one.
        **replaced: values for keys of the suite, such as ``nfe=[5, 10]``, in place of its own.

    Returns:
        One cell for each row of the result table, grouped by model. If a cell cannot run, its
        ``skip`` gives the reason, such as a budget below the cost of one step.

    Raises:
        ValueError: an argument is invalid or names something that does not exist.

    >>> suite = {"models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [5, 10]}
    >>> [(cell.label, cell.budget, cell.steps) for cell in plan(suite, device="cpu")]
    [('euler', 5, 5), ('euler', 10, 10), ('heun', 5, 3), ('heun', 10, 5)]
    """
    full_suite = suite_from_arguments(suite, models, samplers, replaced)
    return plan_cells(full_suite, resolve_device_argument(device, full_suite))[2]


def plan_cells(
    suite: Suite, device: str
) -> tuple[dict[str, Denoiser], dict[str, Reference | None], list[Cell]]:
    """Return a suite's models and reference statistics (None without data), both by name, and its cells."""
    check_executions(suite.execution, device)  # before models are loaded, which may take minutes
    models = load_models(suite, device)
    references = load_references(models, suite.extractors, suite.reference)
    return models, references, plan_suite(suite, models, references, device)


def run(
    suite: SuiteArgument | None = None,
    out: Path | str | None = None,
    *,
    models: Models | None = None,
    samplers: Sequence[Any] | None = None,
    device: Device = "auto",
    progress: bool | None = None,
    retry: bool = False,
    **replaced: Any,
) -> ResultTable:
    """Run a suite's cells that are missing in a run directory, and return the directory's table.

    Everything runs in this process, since another process could not load Python objects. So a sampler
    that crashes ends the run, and time and memory have no limits. ``samplerbench run`` has both limits.

    Args:
        suite: name, path, dictionary or :class:`~samplerbench.benchmarks.Suite`; None if keywords
            define all of it. With ``until``, rows get samples until their comparison is decided.
        out: run directory; None for one under ``results/runs`` with the suite's name and digest.
        models: list of specs such as ``"fashion"``, or mapping from names to objects. An object is a
            denoiser, or anything a factory in a Python file may return. It is measured again if its
            outputs have changed since the last run. Specs in a mapping keep their own names.
        samplers: specs such as ``"ddim(eta=0.5)"``, sampler objects, and classes of samplers.
        device: where to run; "auto" takes a CUDA GPU if there is one.
        progress: whether to report progress on stderr; None to report in a terminal or a notebook only.
        retry: whether to repeat cells that failed before.
        **replaced: values that replace the suite's own, by its keys, such as ``nfe=[5, 10]``,
            ``schedules``, ``samples``, ``seed``; ``timing=False`` leaves timing out.

    Returns:
        The table of the run directory: one row per cell; the row of a failed cell has the reason.

    Raises:
        ValueError: an argument is invalid, or the folder contains something other than a run.

    >>> from tempfile import TemporaryDirectory
    >>> suite = {"models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [10], "samples": 64}
    >>> suite |= {"timing": {"enabled": False}}
    >>> with TemporaryDirectory() as folder:
    ...     table = run(suite, folder, device="cpu")
    >>> table.frame[["sampler", "nfe", "status"]].values.tolist()
    [['euler', 10.0, 'ok'], ['heun', 9.0, 'ok']]
    """
    full_suite = suite_from_arguments(suite, models, samplers, replaced)
    where = resolve_device_argument(device, full_suite)
    console = Console(stderr=True)
    is_watched = console.is_terminal or console.is_jupyter
    console.quiet = not (is_watched if progress is None else progress)
    asked = [*(models.values() if isinstance(models, Mapping) else ()), *(samplers or ())]
    if not all(isinstance(item, str | Mapping) for item in asked):
        console.print(
            "Models and samplers that are objects run in this process, because no other could load them: a "
            "sampler that crashes or hangs stops the whole run, and limits of time and memory are not enforced."
        )
    folder = default_run_folder(full_suite) if out is None else Path(out)
    done = run_suite(full_suite, folder, where, console=console, retry=retry)
    if done.nonconforming:
        log.warning("%s", done.nonconforming)
    assert done.table is not None  # without join, another process in the folder is an error
    return done.table


class RunResult(NamedTuple):
    """Result of :func:`run_suite`: the table, and facts about the run.

    ``table`` is None if another process still runs in the folder, and will write the table.
    ``analyses`` are the interim analyses of a suite with ``until``, else None. ``nonconforming`` names users'
    samplers that fail ``samplerbench check``, or is "". ``cells`` are the keys of the suite's cells.
    """

    table: ResultTable | None
    analyses: InterimAnalyses | None
    nonconforming: str
    cells: set[str]


def run_suite(
    suite: Suite,
    folder: Path,
    device: str,
    *,
    console: Console,
    executor: Executor | None = None,
    time_limit: float | None = None,
    retry: bool = False,
    fresh: bool = False,
    join: bool = False,
) -> RunResult:
    """Run a suite's cells that are missing in a run directory.

    Args:
        suite: suite to run. With ``until``, rows get samples until their comparison is decided.
        folder: run directory.
        device: "cpu" or "cuda".
        console: where to report progress.
        executor: where samplers run; None for this process.
        time_limit: most seconds for a shard of up to 512 samples; 0 for no limit, None for a multiple of a forecast.
        retry: True to repeat cells that failed before.
        fresh: True to set aside the folder's results and the cached measurements on models.
        join: True to draw samples for a process that already runs in the folder. Without ``join``, and for a
            suite with ``until``, a BusyError is raised if there is such a process.
    """
    check_executions(suite.execution, device)  # before models are loaded, which may take minutes
    if executor is not None and suite.timing.enabled:
        executor.alone(device)  # early too: raises an error if no single device can be timed
    with explain_write_errors(folder):
        if fresh:
            directory = RunDir.at(folder)
            if (folder / "run.json").exists():
                with directory.lock():
                    directory.set_all_aside("it was made before --fresh", restorable=False)
            set_measurements_aside(default_cache())
        setup = set_up(
            suite,
            folder,
            device=device,
            console=console,
            executor=executor,
            time_limit=time_limit,
            join=join and suite.until is None,
        )
        analyses = None
        if suite.until:
            from .running.sequential_sampling import run_until_decided  # few runs need it

            table, analyses = run_until_decided(setup, suite.until, retry=retry)
        else:
            table = (runner.run_or_join if join else runner.run)(setup, retry=retry)
        nonconforming = (
            "" if table is None else setup.probes.describe_nonconforming(setup.cells, table)
        )
    return RunResult(table, analyses, nonconforming, {cell.key for cell in setup.cells})


def advise(
    model: Any,
    nfe: Sequence[int] | None = None,
    *,
    out: Path | str | None = None,
    only: Sequence[Any] = (),
    device: Device = "auto",
    **options: Any,
) -> Advice:
    """Find the best sampler and noise levels for a model at each number of evaluations.

    Args:
        model: a spec or an object.
        nfe: evaluations per sample; None for 4, 6, 8, 10, 15 and 20.
        out: folder for the answer and its measurements, which a later call reuses; None for one
            under ``results/runs``.
        only: samplers to compare; empty for all.
        device: where to run; "auto" takes a CUDA GPU if there is one.
        **options: options of :func:`samplerbench.benchmarks.advice.advise`: ``minutes`` to spend (10 by
            default), ``ms`` (milliseconds that a sample may take, instead of ``nfe``), ``library`` (to
            recommend for), ``default`` (present sampler), ``extractor``, ``seed``, ``executor``, ``progress``.

    Raises:
        ValueError: an argument is invalid, or the time is too short.
    """
    from .advice import advise as find

    load_installed()
    spec = model_spec(model)
    spec = spec if isinstance(spec, str) else format_spec(spec)
    only = as_sampler_list(only)
    given = {"nfe": nfe is not None and list(nfe), "out": out and str(out), "only": only} | options
    words = [repr(spec) if isinstance(model, str | Mapping) else "model"]
    words += [
        f"{k}={v!r}" for k, v in given.items() if v and isinstance(v, str | int | float | list)
    ]
    options.setdefault("command", f"samplerbench.advise({', '.join(words)})")
    if nfe is not None:
        if options.get("ms") is not None or not len(nfe):
            raise ValueError("give --nfe with at least one number, or --ms, not both")
        options["nfe"] = nfe
    return find(
        spec,
        out=advice_folder(spec) if out is None else out,
        only=[s if isinstance(s, str) else format_spec(sampler_spec(s)) for s in only],
        device=resolve_device_argument(device),
        **options,
    )


def advice_folder(model: str) -> Path:
    """Return the default folder of the advice on a model spec, in ``results/runs``."""
    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    return Path("results") / "runs" / file_name(f"advise-{model}", digest)


class Tuning(NamedTuple):
    """Result of :func:`tune`: tuned levels or coefficients, failures by (sampler, steps), hold-out model's name."""

    entries: list[TunedEntry]
    failures: Mapping[Target, Failure]
    holdout: str


def tune(
    model: Any,
    samplers: Sequence[Any],
    *,
    nfe: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    out: Path | str = "tuned.json",
    latents: int = 256,
    test_latents: int = 256,
    seed: int = 0,
    objective: str = "mean",
    what: What = "grid",
    also: Sequence[Also] = (),
    loss: str | None = None,
    holdout_model: Any = None,
    device: Device = "auto",
    executor: Executor | None = None,
    progress: Callable[[str], None] = ignore_progress,
) -> Tuning:
    """Tune samplers' noise levels or coefficients to end near the converged endpoints of latents.

    Args:
        model: a spec or an object.
        samplers: samplers to tune: specs, objects or classes.
        nfe: evaluations per sample; or give ``steps``.
        steps: numbers of steps; or give ``nfe``.
        out: JSON file for the schedule ``tuned(file=…)``. Entries of the same settings are reused.
        latents: number of latents to tune on, which no run uses.
        test_latents: number of further latents, which only measure the error of the result.
        seed: root seed of the latents.
        objective: mean of the distances to minimise: "mean" (arithmetic), "rms" or "geometric".
        what: "grid" (the noise levels), "coefficients", "both", or "ratios" (of DC-Solver's time shifts).
        also: further numbers to tune: "network-levels" (levels given to the network), or "sums" of coefficients.
        loss: extractor in whose features distances are minimised; None for distances of samples.
        holdout_model: other model, on which the result is scored too; None for one of :data:`HOLDOUTS`.
        device: where to run; "auto" takes a CUDA GPU if there is one.
        executor: where samplers run; None for this process.
        progress: function that is called with the name of each stage.

    Raises:
        ValueError: an argument is invalid, something does not exist, or a sampler cannot be tuned.
    """
    from .tuning.tuning import ModelTuning, targets_of, tune_targets

    if (steps is None) == (nfe is None):
        raise ValueError("give --steps or --nfe (in Python steps or nfe), one of them")
    solvers = [make_sampler(sampler) for sampler in as_sampler_list(samplers)]
    if not solvers:
        raise ValueError("there is no sampler to tune; give at least one, such as ['heun']")
    where = resolve_device_argument(device)
    subject = load_denoiser(model_spec(model), where)
    targets = targets_of(solvers, subject.model, steps, nfe, what, also)
    elsewhere = holdout_model or next(name for name in HOLDOUTS if name != subject.name)
    other = load_denoiser(model_spec(elsewhere), where)
    how = ModelTuning(
        subject, other, latents, test_latents, seed, objective, what, tuple(also), loss, where
    )
    entries, failures = tune_targets(Path(out), how, targets, executor or InProcess(), progress)
    return Tuning(entries, failures, other.name)
