"""Options that several commands share: their declarations, panels in the help, and parsing."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from .help_panels import EXECUTION, OUTPUT, WHAT, WHERE

Choice = TypeVar("Choice", bound=str)

STARTS = ("noise", "mean", "gaussian")
NOISES = ("white", "brownian")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1  # tables cannot store larger seeds


def option_default(
    names: str, text: str, panel: str | None = None, default: Any = None, **limits: Any
) -> Any:
    """Return the default value that declares a parameter or dataclass field as an option.

    ``names`` has one name or several, and a word in capitals for the value, as in "--seed N".
    ``text`` is the help, ``panel`` its heading there. ``limits`` are typer's ``min`` and ``max``.
    """
    *words, value = names.split()
    if value.startswith("-"):
        words, value = [*words, value], None
    return typer.Option(default, *words, help=text, rich_help_panel=panel, metavar=value, **limits)


def flag(names: str, text: str, panel: str | None = None) -> Any:
    """Return the default value that declares an option without a value, False by default."""
    return option_default(names, text, panel, default=False)


def argument(text: str, default: Any = ...) -> Any:
    """Return the default value that declares a parameter as an argument; required by default."""
    return typer.Argument(default, help=text)


def option(names: str, text: str, panel: str | None = None, **limits: Any) -> Any:
    """Return an option for a parameter's annotation; without a default, the option is required."""
    return option_default(names, text, panel, ..., **limits)


Plugins = Annotated[
    list[Path] | None,
    option("--plugin FILE", "Python file with your own samplers (repeatable).", WHAT),
]
PeersPath = Annotated[
    Path | None,
    option("--peers-path FOLDER", "Clones of libraries that pip cannot install.", EXECUTION),
]
Json = Annotated[bool, option("--json", "Print JSON.", OUTPUT)]
SuiteName = Annotated[
    str, typer.Argument(help="Built-in suite (see samplerbench list suites) or TOML file.")
]
StepsOption = Annotated[
    str | None, option("--steps N,N,…", "Numbers of steps, e.g. 5,10,20.", WHAT)
]
NfeOption = Annotated[
    str | None,
    option("--nfe N,N,…", "Budgets of evaluations per sample, e.g. 5,10,20.", WHAT),
]
OutOption = Annotated[Path | None, option("--out FOLDER", "Folder of the results.", OUTPUT)]
ThreadsOption = Annotated[
    int | None,
    option(
        "--threads N", "Threads of torch (default: its own choice).", EXECUTION, min=1, max=4096
    ),
]
TrustOption = Annotated[
    bool,
    option(
        "--trust-suite",
        "Allow the suite's TOML file to name Python files and files elsewhere.",
        EXECUTION,
    ),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], option("--device NAME", "auto, cpu or cuda.", WHERE)
]
JobsOption = Annotated[int, option("--jobs N", "Number of worker processes.", min=1)]


def with_grouped_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has each field of its dataclass parameters as an option of its own.

    A field is declared by a default from :func:`option_default`, or by :func:`option` in its annotation.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        group = parameter.annotation
        if not is_dataclass(group):
            parameters.append(parameter)
            continue
        groups[parameter.name] = group
        hints = get_type_hints(group, include_extras=True)
        parameters += [
            parameter.replace(name=item.name, default=item.default, annotation=hints[item.name])
            for item in fields(group)
        ]

    @wraps(command)
    def command_with_options(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{item.name: values.pop(item.name) for item in fields(group)})
        command(**values)

    command_with_options.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue] - what typer reads
    command_with_options.__annotations__ = {item.name: item.annotation for item in parameters}
    return command_with_options


def integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """Return the whole numbers >= 1 of a comma-separated text; None for None.

    Raises a ValueError, which names ``option``, for other texts and for too large numbers.
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
    """Return ``value`` if it is ``allowed``; else raise a ValueError that names ``option``."""
    if value not in allowed:
        raise ValueError(f"{option} {value!r}: choose one of {', '.join(allowed)}")
    return allowed[allowed.index(value)]


def parse_share(text: str, option: str) -> float:
    """Return a share >= 0 from a text such as ``1%`` or ``0.01``; raise a ValueError for others."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{option} {text!r}: give a share of 0 or more, such as 1% or 0.01")
    return value


def load_plugins(files: list[Path] | None, peers_path: Path | None = None) -> None:
    """Load installed plugins and ``files``; take other libraries from ``peers_path`` if given."""
    from .... import samplers
    from ....models.loaders.source_file import record_import
    from ....models.loaders.user_files import record_files

    for sentence in samplers.load_plugins(record_files).values():
        logging.getLogger("samplerbench").warning("%s", sentence)
    for file in files or ():
        samplers.load_file(file, partial(record_import, file))
    if peers_path is not None:
        from ....samplers.peers import set_peers_path

        set_peers_path(peers_path)
