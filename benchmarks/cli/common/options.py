"""Options that several commands have, and how they are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from . import panels
from .console import err

if TYPE_CHECKING:
    from ...suites.suite import Suite

DEVICES = ("auto", "cpu", "cuda")
STARTS = ("noise", "mean", "gaussian")
NOISES = ("white", "brownian")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1
"""Tables have no room for larger ones."""

Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        help="Python file with samplers of your own (repeatable).",
        rich_help_panel=panels.WHAT,
    ),
]
PeersPath = Annotated[
    Path | None,
    typer.Option(
        "--peers-path",
        help="Folder with clones of peers that pip cannot install.",
        rich_help_panel=panels.EXECUTION,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SuiteName = Annotated[
    str, typer.Argument(help="Built-in suite (samplerbench list suites) or path of a TOML file.")
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="Replace the suite's models (repeatable).", rich_help_panel=panels.WHAT
    ),
]
SamplerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sampler",
        help="Replace the samplers, e.g. heun or 'ddim(eta=0.5)'.",
        rich_help_panel=panels.WHAT,
    ),
]
ScheduleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--schedule",
        help="Replace the schedules, e.g. 'karras(rho=5)'.",
        rich_help_panel=panels.WHAT,
    ),
]
StepsOption = Annotated[
    str | None,
    typer.Option("--steps", help="Numbers of steps, e.g. 5,10,20.", rich_help_panel=panels.WHAT),
]
NfeOption = Annotated[
    str | None,
    typer.Option(
        "--nfe",
        help="Budgets of evaluations per sample; the largest grid that fits is run.",
        rich_help_panel=panels.WHAT,
    ),
]
StartOption = Annotated[
    list[str] | None,
    typer.Option(
        "--start",
        help=f"How runs begin: {', '.join(STARTS)} (repeatable).",
        rich_help_panel=panels.STATISTICS,
    ),
]
NoiseOption = Annotated[
    str | None,
    typer.Option(
        "--noise",
        help=f"Noise of stochastic samplers: {' or '.join(NOISES)}.",
        rich_help_panel=panels.STATISTICS,
    ),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples", min=2, max=MOST, help="Samples per cell.", rich_help_panel=panels.WHAT
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, max=LARGEST_SEED, help="Root seed.", rich_help_panel=panels.STATISTICS
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, max=MOST, help="Samples per batch.", rich_help_panel=panels.EXECUTION
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype", help="dtype of the state: float32 or float64.", rich_help_panel=panels.EXECUTION
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile", help="Run the network through torch.compile.", rich_help_panel=panels.EXECUTION
    ),
]
CudaGraphOption = Annotated[
    bool,
    typer.Option(
        "--cuda-graph",
        help="Replay whole runs as CUDA graphs (--compile too: compiled ones).",
        rich_help_panel=panels.EXECUTION,
    ),
]
ExtractorOption = Annotated[
    str | None,
    typer.Option(
        "--extractor",
        help="Feature space: card, card:32, pixels, file.py:factory, or a scheme of `list extractors`.",
        rich_help_panel=panels.STATISTICS,
    ),
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        "--real",
        help="For --extractor: real samples, in a folder or array, or a file of their statistics.",
        rich_help_panel=panels.STATISTICS,
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Run directory.", rich_help_panel=panels.OUTPUT)
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=4096,
        help="torch threads (default: torch's own choice).",
        rich_help_panel=panels.EXECUTION,
    ),
]
TimingOption = Annotated[
    bool,
    typer.Option(
        "--timing/--no-timing",
        help="Whether to time the cells after sampling.",
        rich_help_panel=panels.WHAT,
    ),
]
TimingMinutesOption = Annotated[
    float | None,
    typer.Option(
        "--timing-minutes",
        min=0.01,
        help="Most minutes of timing, for all models; the next run times what they were not enough for.",
        rich_help_panel=panels.TIMING,
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-suite",
        help="Use the Python files, and files elsewhere, that the suite's TOML file names.",
        rich_help_panel=panels.EXECUTION,
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu or cuda.", rich_help_panel=panels.WHERE)
]
UntilDecidedOption = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="Extend rows until their difference to a baseline is decided.",
        rich_help_panel=panels.STATISTICS,
    ),
]
UntilBaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        help="Sampler to compare with (default: the suite's first).",
        rich_help_panel=panels.STATISTICS,
    ),
]
UntilMetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric", help="Column it is about (default: fd_conv).", rich_help_panel=panels.STATISTICS
    ),
]
UntilMarginOption = Annotated[
    str | None,
    typer.Option(
        "--margin",
        help="Difference that does not matter, as a share of the baseline (1%).",
        rich_help_panel=panels.STATISTICS,
    ),
]
TargetSeOption = Annotated[
    float | None,
    typer.Option(
        "--target-se",
        help="Extend rows until their standard error is this small.",
        rich_help_panel=panels.STATISTICS,
    ),
]
MaxSamplesOption = Annotated[
    int | None,
    typer.Option(
        "--max-samples",
        help="Samples per row at most (default: 16 times the first).",
        rich_help_panel=panels.STATISTICS,
    ),
]
IsolationOption = Annotated[
    bool | None,
    typer.Option(
        "--isolation/--no-isolation",
        help="Short for --executor worker (the default), or for --executor in-process.",
        rich_help_panel=panels.EXECUTION,
    ),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        help="Where samplers run: worker, a process of its own, which may crash or hang; "
        "in-process; ray, the machines of a Ray cluster; or one of an installed package.",
        rich_help_panel=panels.EXECUTION,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="Ray cluster: host:port of its head, or auto (default: RAY_ADDRESS, else this machine "
        "alone).",
        rich_help_panel=panels.EXECUTION,
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        help="GPUs of each worker on Ray, or a part of one.",
        rich_help_panel=panels.EXECUTION,
    ),
]
AcceleratorOption = Annotated[
    str | None,
    typer.Option(
        "--accelerator",
        help="Type of device that times are of, on Ray, such as H100.",
        rich_help_panel=panels.EXECUTION,
    ),
]
RunJobsOption = Annotated[
    str | None,
    typer.Option(
        "--jobs",
        help="Worker processes that sample at a time: a number, or auto for one a GPU, or one a "
        "core, here or of the Ray cluster. They share --threads.",
        rich_help_panel=panels.WHERE,
    ),
]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes that measure at a time.")]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        min=0,
        help="Seconds for 512 samples of a cell, 0 for none (default: 20 forecasts).",
        rich_help_panel=panels.EXECUTION,
    ),
]
MemoryLimitOption = Annotated[
    float | None,
    typer.Option(
        "--memory-limit",
        min=0,
        help="GiB that the samplers' process may hold, 0 for no limit (default: 80 %).",
        rich_help_panel=panels.EXECUTION,
    ),
]
RetryOption = Annotated[
    bool,
    typer.Option(
        "--retry",
        help="Run cells again that failed, crashed or timed out.",
        rich_help_panel=panels.OUTPUT,
    ),
]
FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Set aside what the directory holds, and use no kept search.",
        rich_help_panel=panels.OUTPUT,
    ),
]
ReferenceSamplesOption = Annotated[
    int | None,
    typer.Option(
        "--reference-samples",
        help="Samples compared with their converged endpoints (rmse); fewer are quicker.",
        rich_help_panel=panels.STATISTICS,
    ),
]
ConvergedSamplesOption = Annotated[
    int | None,
    typer.Option(
        "--converged-samples",
        help="Converged samples for fd_conv, where the model's card has none.",
        rich_help_panel=panels.STATISTICS,
    ),
]
PathCurvatureOption = Annotated[
    bool,
    typer.Option(
        "--path-curvature",
        help="Measure how the paths of each model bend, too.",
        rich_help_panel=panels.STATISTICS,
    ),
]


@dataclass(frozen=True)
class SuiteOptions:
    """Options of ``run`` and ``plan`` that replace parts of a suite, in the order of their help
    (:func:`taking`).
    """

    out_dir: OutOption = None
    model: ModelOption = None
    sampler: SamplerOption = None
    schedule: ScheduleOption = None
    steps: StepsOption = None
    nfe: NfeOption = None
    start: StartOption = None
    noise: NoiseOption = None
    samples: SamplesOption = None
    seed: SeedOption = None
    batch_size: BatchOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = None
    threads: ThreadsOption = None
    timing: TimingOption = True
    timing_minutes: TimingMinutesOption = None
    extractor: ExtractorOption = None
    reference: ReferenceOption = None
    compiled: CompileOption = False
    cuda_graph: CudaGraphOption = False
    plugin: Plugins = None
    peers_path: PeersPath = None
    trust_suite: TrustOption = False
    until_decided: UntilDecidedOption = False
    target_se: TargetSeOption = None
    baseline: UntilBaselineOption = None
    metric: UntilMetricOption = None
    margin: UntilMarginOption = None
    max_samples: MaxSamplesOption = None
    reference_samples: ReferenceSamplesOption = None
    converged_samples: ConvergedSamplesOption = None
    path_curvature: PathCurvatureOption = False


def taking(options: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command every field of a dataclass as an option, in place of its parameter ``options``.

    Args:
        options: its fields are annotated as options are, and have defaults.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature, hints = (
            inspect.signature(command, eval_str=True),
            get_type_hints(options, include_extras=True),
        )
        shared = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=field.default,
                annotation=hints[field.name],
            )
            for field in fields(options)
        ]
        names = {parameter.name for parameter in shared}

        @wraps(command)
        def called(**given: Any) -> None:
            of_options = {name: given.pop(name) for name in names & set(given)}
            command(options=options(**of_options), **given)

        own = list(signature.parameters.values())
        place = next(k for k, parameter in enumerate(own) if parameter.name == "options")
        parameters = [*own[:place], *shared, *own[place + 1 :]]
        called.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue] - what typer reads
        called.__annotations__ = {
            parameter.name: parameter.annotation for parameter in parameters
        } | {"return": None}
        return called

    return decorated


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Return a comma-separated list of numbers >= 1.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    from ...suites.suite import LARGEST

    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (0,)
    if max(numbers) > LARGEST:
        raise ValueError(f"{option} {text!r}: give numbers up to {LARGEST:,}")
    if min(numbers) < 1:
        raise ValueError(
            f"{option} {text!r}: give whole numbers >= 1, separated by "
            f"commas, such as {option} 5,10,20"
        )
    return numbers


def checked(value: str, option: str, allowed: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Raises:
        ValueError: it is not.
    """
    if value not in allowed:
        raise ValueError(f"{option} {value!r}: choose one of {', '.join(allowed)}")
    return value


def load_plugins(files: list[Path] | None, peers_path: Path | None = None) -> None:
    """Load installed plugins, then the user's files.

    A broken installed plugin is reported and left out; a broken file is an error.
    """
    from .... import samplers
    from ....models.loaders.user_files import reading

    for sentence in samplers.load_plugins(reading).values():
        err.print(f"warning: {sentence}", markup=False)
    for file in files or ():
        samplers.load_file(file, reading)
    if peers_path is not None:
        from ....samplers.peers import set_peers_path

        set_peers_path(peers_path)


def execution(compiled: bool, replayed: bool) -> tuple[str, ...] | None:
    """Return the axis that --compile and --cuda-graph set, one mode for both; None leaves the suite's."""
    modes = ["compile"] * compiled + ["cuda-graph"] * replayed
    return ("+".join(modes),) if modes else None


def selected(
    suite: str,
    *,
    steps: str | None,
    nfe: str | None,
    start: list[str] | None,
    noise: str | None,
    trust: bool = False,
    **axes: Any,
) -> Suite:
    """Return the suite with the axes that the command line replaces.

    None or an empty list leaves one as it is.

    Args:
        suite: name or path.
        steps: as the option gives them, as all that follow.
        nfe: budgets.
        start: how runs begin.
        noise: of stochastic samplers.
        trust: whether Python files may run that the suite names, and files be read outside its
            folder; those that an option names may.
        **axes: the others.

    Raises:
        ValueError: no such suite, a value that makes no sense, or a suite that would run code
            unasked.
    """
    from ...suites.files import load_suite, refuse_untrusted

    if steps is not None and nfe is not None:
        raise ValueError("give --steps or --nfe, not both")
    replacements = {key: value if value != [] else None for key, value in axes.items()}
    loaded = load_suite(suite)
    if not trust:
        refuse_untrusted(
            loaded, suite, {key for key, value in replacements.items() if value is not None}
        )
    return loaded.replaced(
        steps=integers(steps, "--steps"),
        nfe=integers(nfe, "--nfe"),
        start=tuple(checked(value, "--start", STARTS) for value in start or ()) or None,
        noise=None if noise is None else checked(noise, "--noise", NOISES),
        **replacements,
    )
