"""``new-solver``, ``new-metric`` and ``cite``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import say
from .options import load_plugins

if TYPE_CHECKING:
    from .scaffold import Kind


PackageFolder = Annotated[Path, typer.Option("--out", help="Where to make the package.")]


def new_solver(
    name: Annotated[str, typer.Argument(help="Registry name of the sampler, e.g. my_solver.")],
    folder: PackageFolder = Path(),
) -> None:
    """Write a plugin package with one working sampler and its test."""
    _new_package("solver", name, folder)


def new_metric(
    name: Annotated[str, typer.Argument(help="Name of the metric and its column, e.g. my_metric.")],
    folder: PackageFolder = Path(),
) -> None:
    """Write a plugin package with one working metric and the test of its intervals."""
    _new_package("metric", name, folder)


def _new_package(kind: Kind, name: str, folder: Path) -> None:
    from . import scaffold

    load_plugins(None)
    path = scaffold.new_package(kind, name, folder)
    say(f"Wrote {path}. Next:")
    for line in scaffold.next_steps(kind, name, path):
        say(f"  {line}")


def cite(sampler: Annotated[list[str], typer.Argument(help="Samplers.")]) -> None:
    """Print the BibTeX entries of samplers."""
    from ... import samplers

    load_plugins(None)
    say(samplers.bibtex([samplers.get(name).source.key for name in sampler]))
