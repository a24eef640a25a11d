"""Options that several commands share: their declarations, panels in the help, and parsing."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from ...arguments import Device

Choice = TypeVar("Choice", bound=str)

DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
STARTS = ("noise", "mean", "gaussian")
NOISES = ("white", "brownian")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1  # tables cannot store larger seeds

WHAT = "What to run"
WHERE = "Where it runs"
EXECUTION = "Execution and limits"
STATISTICS = "Samples and statistics"
TIMING = "Timing"
OUTPUT = "Output"
PANELS = (WHAT, WHERE, OUTPUT, STATISTICS, EXECUTION, TIMING)
EVERYDAY = (WHAT, WHERE, OUTPUT)  # panels that ``--help`` always shows
FOLDED = 6  # number of options in the other panels from which only ``--help-all`` shows them


def option(names: str, text: str, panel: str | None = None, **limits: Any) -> Any:
    """Return an option of a command, with one name or several, in a panel of its help."""
    return typer.Option(*names.split(), help=text, rich_help_panel=panel, **limits)


Plugins = Annotated[
    list[Path] | None,
    option("--plugin", "Python file with samplers of your own (repeatable).", WHAT),
]
PeersPath = Annotated[
    Path | None,
    option("--peers-path", "Folder with clones of peers that pip cannot install.", EXECUTION),
]
Json = Annotated[bool, option("--json", "Print JSON.")]
SuiteName = Annotated[
    str, typer.Argument(help="Built-in suite (samplerbench list suites) or path of a TOML file.")
]
StepsOption = Annotated[str | None, option("--steps", "Numbers of steps, e.g. 5,10,20.", WHAT)]
NfeOption = Annotated[
    str | None,
    option("--nfe", "Budgets of evaluations per sample; the largest grid that fits is run.", WHAT),
]
OutOption = Annotated[Path | None, option("--out", "Run directory.", OUTPUT)]
ThreadsOption = Annotated[
    int | None,
    option("--threads", "torch threads (default: torch's own choice).", EXECUTION, min=1, max=4096),
]
TrustOption = Annotated[
    bool,
    option(
        "--trust-suite",
        "Use the Python files, and files elsewhere, that the suite's TOML file names.",
        EXECUTION,
    ),
]
DeviceOption = Annotated[str, option("--device", "auto, cpu or cuda.", WHERE)]
IsolationOption = Annotated[
    bool | None,
    option(
        "--isolation/--no-isolation",
        "Short for --executor worker (the default), or for --executor in-process.",
        EXECUTION,
    ),
]
ExecutorOption = Annotated[
    str | None,
    option(
        "--executor",
        "Where samplers run: worker, a process of its own, which may crash or hang; "
        "in-process; ray, the machines of a Ray cluster; or one of an installed package.",
        EXECUTION,
    ),
]
RayAddressOption = Annotated[
    str | None,
    option(
        "--ray-address",
        "Ray cluster: host:port of its head, or auto (default: RAY_ADDRESS, else this machine "
        "alone).",
        EXECUTION,
    ),
]
GpusOption = Annotated[
    float | None,
    option("--gpus-per-worker", "GPUs of each worker on Ray, or a part of one.", EXECUTION),
]
AcceleratorOption = Annotated[
    str | None,
    option("--accelerator", "Type of device that times are of, on Ray, such as H100.", EXECUTION),
]
JobsOption = Annotated[int, option("--jobs", "Processes that measure at a time.", min=1)]
MemoryLimitOption = Annotated[
    float | None,
    option(
        "--memory-limit",
        "GiB that the samplers' process may hold, 0 for no limit (default: 80 %).",
        EXECUTION,
        min=0,
    ),
]


def setting(
    names: str, text: str, panel: str | None = None, default: Any = None, **limits: Any
) -> Any:
    """Return an option of one command, as the default of a parameter or of a dataclass field."""
    return typer.Option(default, *names.split(), help=text, rich_help_panel=panel, **limits)


def with_options_of(options: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that replaces a command's parameter ``options`` by a dataclass's fields.

    A field is annotated with an :func:`option` and has a default, or its default is a :func:`setting`.
    """
    hints = get_type_hints(options, include_extras=True)
    shared = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=item.default,
            annotation=hints[item.name],
        )
        for item in fields(options)
    ]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            settings = options(**{item.name: values.pop(item.name) for item in shared})
            command(options=settings, **values)

        signature = inspect.signature(command, eval_str=True)
        own = list(signature.parameters.values())
        place = next(k for k, parameter in enumerate(own) if parameter.name == "options")
        parameters = [*own[:place], *shared, *own[place + 1 :]]
        called.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue] - what typer reads
        called.__annotations__ = {item.name: item.annotation for item in parameters}
        return called

    return decorated


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Return the whole numbers >= 1 of a comma-separated text; None for None.

    Raises:
        ValueError: the text is something else, or a number is too large.
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


def check_choice(value: str, option: str, allowed: tuple[Choice, ...]) -> Choice:
    """Return ``value`` if it is one of ``allowed``.

    Raises:
        ValueError: ``value`` is not one of them.
    """
    if value not in allowed:
        raise ValueError(f"{option} {value!r}: choose one of {', '.join(allowed)}")
    return allowed[allowed.index(value)]


def parse_share(text: str, option: str) -> float:
    """Return the share >= 0 that is written as ``1%`` or ``0.01``.

    Raises:
        ValueError: the text is something else.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{option} {text!r}: give a share of 0 or more, such as 1% or 0.01")
    return value


def load_plugins(files: list[Path] | None, peers_path: Path | None = None) -> None:
    """Load installed plugins, with a warning for each broken one, then the user's files."""
    from .... import samplers
    from ....models.loaders.user_files import record_files

    for sentence in samplers.load_plugins(record_files).values():
        logging.getLogger("samplerbench").warning("%s", sentence)
    for file in files or ():
        samplers.load_file(file, record_files)
    if peers_path is not None:
        from ....samplers.peers import set_peers_path

        set_peers_path(peers_path)


class PanelCommand(TyperCommand):
    """Command whose help shows options in panels; it always shows those without a panel."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; with ``--help-all``, print the help with all panels and exit."""
        if "--help-all" in args:
            ctx.meta["help_all"] = True
            typer.echo(ctx.get_help())
            raise typer.Exit
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section of the help for each panel that is shown."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                name = getattr(parameter, "rich_help_panel", None) or default
                panels.setdefault(name, []).append(record)
        rest = [name for name in PANELS if name in panels and name not in EVERYDAY]
        folded = sum(len(panels[name]) for name in rest) >= FOLDED
        shown = not folded or ctx.meta.get("help_all")
        order = ["Arguments", *PANELS, "Options"]
        for name in sorted(panels, key=order.index):
            if name not in rest or shown:
                with formatter.section(name):
                    formatter.write_dl(panels[name])
        if not shown:
            names = ", ".join(f"{name.lower()} ({len(panels[name])})" for name in rest)
            with formatter.section("More options"):
                formatter.write_dl([("--help-all", f"Show all: {names}.")])
