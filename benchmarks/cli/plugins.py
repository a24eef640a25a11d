"""``new-solver`` and ``cite``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say
from .options import load_plugins


def new_solver(
    name: Annotated[str, typer.Argument(help="Registry name of the sampler, e.g. my_solver.")],
    folder: Annotated[Path, typer.Option("--out", help="Where to make the package.")] = Path(),
) -> None:
    """Write a plugin package with one working sampler and its test."""
    from . import scaffold

    load_plugins(None)
    path = scaffold.new_solver(name, folder)
    say(f"Wrote {path}. Next:")
    for line in scaffold.next_steps(name, path):
        say(f"  {line}")


def cite(sampler: Annotated[list[str], typer.Argument(help="Samplers.")]) -> None:
    """Print the BibTeX entries of samplers."""
    from ... import samplers

    load_plugins(None)
    say(samplers.bibtex([samplers.get(name).source.key for name in sampler]))
