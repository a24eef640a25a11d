"""Options that several commands have, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import err

if TYPE_CHECKING:
    from ..suites.suite import Suite

DEVICES = ("auto", "cpu", "cuda")
STARTS = ("noise", "mean", "gaussian")
NOISES = ("white", "brownian")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1
"""Tables have no room for larger ones."""

Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="Python file with samplers of your own (repeatable).")]
PeersPath = Annotated[Path | None, typer.Option("--peers-path", help="Folder with clones of peers that pip cannot install.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SuiteName = Annotated[str, typer.Argument(help="Built-in suite (samplerbench list suites) or path of a TOML file.")]
ModelOption = Annotated[list[str] | None, typer.Option("--model", help="Replace the suite's models (repeatable).")]
SamplerOption = Annotated[list[str] | None, typer.Option("--sampler", help="Replace the samplers, e.g. heun or 'ddim(eta=0.5)'.")]
ScheduleOption = Annotated[list[str] | None, typer.Option("--schedule", help="Replace the schedules, e.g. 'karras(rho=5)'.")]
StepsOption = Annotated[str | None, typer.Option("--steps", help="Numbers of steps, e.g. 5,10,20.")]
NfeOption = Annotated[str | None, typer.Option("--nfe", help="Budgets of evaluations per sample; the largest grid that fits is run.")]
StartOption = Annotated[list[str] | None, typer.Option("--start", help=f"How runs begin: {', '.join(STARTS)} (repeatable).")]
NoiseOption = Annotated[str | None, typer.Option("--noise", help=f"Noise of stochastic samplers: {' or '.join(NOISES)}.")]
SamplesOption = Annotated[int | None, typer.Option("--samples", min=2, max=MOST, help="Samples per cell.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Root seed.")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", min=1, max=MOST, help="Samples per batch.")]
DtypeOption = Annotated[str | None, typer.Option("--dtype", help="dtype of the state: float32 or float64.")]
CompileOption = Annotated[bool, typer.Option("--compile", help="Run the network through torch.compile.")]
CudaGraphOption = Annotated[bool, typer.Option("--cuda-graph", help="Replay whole runs as CUDA graphs (--compile too: compiled ones).")]
ExtractorOption = Annotated[
    str | None, typer.Option("--extractor", help="Feature space: card, card:32, pixels, inception:WEIGHTS or file.py:factory.")
]
RealOption = Annotated[
    str | None, typer.Option("--real", help="Real samples for --extractor: .npy, .npz, a folder of images, fashion-mnist, digits.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Run directory.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, max=4096, help="torch threads (default: torch's own choice).")]
TimingOption = Annotated[bool, typer.Option("--timing/--no-timing", help="Whether to time the cells after sampling.")]
TrustOption = Annotated[bool, typer.Option("--trust-suite", help="Run the Python files that the suite's TOML file names.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """A comma-separated list of numbers >= 1.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    from ..suites.suite import LARGEST

    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (0,)
    if max(numbers) > LARGEST:
        raise ValueError(f"{option} {text!r}: give numbers up to {LARGEST:,}")
    if min(numbers) < 1:
        raise ValueError(f"{option} {text!r}: give whole numbers >= 1, separated by commas, such as {option} 5,10,20")
    return numbers


def checked(value: str, option: str, allowed: tuple[str, ...]) -> str:
    """``value`` if it is one of ``allowed``.

    Raises:
        ValueError: it is not.
    """
    if value not in allowed:
        raise ValueError(f"{option} {value!r}: choose one of {', '.join(allowed)}")
    return value


def load_plugins(files: list[Path] | None, peers_path: Path | None = None) -> None:
    """Installed plugins, then the user's files. A broken installed plugin is reported and left out; a broken file is an error."""
    from ... import samplers

    for sentence in samplers.load_plugins().values():
        err.print(f"warning: {sentence}", markup=False)
    for file in files or ():
        samplers.load_file(file)
    if peers_path is not None:
        from ...samplers.peers import set_peers_path

        set_peers_path(peers_path)


def execution(compiled: bool, replayed: bool) -> tuple[str, ...] | None:
    """The axis that --compile and --cuda-graph set: one mode, with both if both are given; None leaves the suite's."""
    modes = ["compile"] * compiled + ["cuda-graph"] * replayed
    return ("+".join(modes),) if modes else None


def selected(
    suite: str, *, steps: str | None, nfe: str | None, start: list[str] | None, noise: str | None, trust: bool = False, **axes: Any
) -> Suite:
    """The suite with the axes that the command line replaces; None or an empty list leaves one as it is.

    Args:
        suite: name or path.
        steps: as the option gives them, as all that follow.
        nfe: budgets.
        start: how runs begin.
        noise: of stochastic samplers.
        trust: whether Python files may run that the suite names; those that an option names may.
        **axes: the others.

    Raises:
        ValueError: no such suite, a value that makes no sense, or a suite that would run code unasked.
    """
    from ..suites.paths import refuse_code
    from ..suites.suite import load_suite

    if steps is not None and nfe is not None:
        raise ValueError("give --steps or --nfe, not both")
    given = {key: value if value != [] else None for key, value in axes.items()}
    loaded = load_suite(suite)
    if not trust:
        refuse_code(loaded, suite, {key for key, value in given.items() if value is not None})
    return loaded.replaced(
        steps=integers(steps, "--steps"),
        nfe=integers(nfe, "--nfe"),
        start=tuple(checked(value, "--start", STARTS) for value in start or ()) or None,
        noise=None if noise is None else checked(noise, "--noise", NOISES),
        **given,
    )
