"""``export``: noise levels as other libraries take them."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import print_json, say
from .options import Json


def export(
    sigmas: Annotated[str | None, typer.Argument(help="Levels, e.g. 80,5,0.5,0 or 'karras(rho=7):10:0.002:80'.")] = None,
    to: Annotated[str, typer.Option("--to", help="diffusers or k-diffusion.")] = "k-diffusion",
    schedule: Annotated[str, typer.Option("--schedule", help="With --steps and --model: the schedule.")] = "karras",
    steps: Annotated[int | None, typer.Option("--steps", help="Number of steps on the model's range.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model whose range it is.")] = None,
    as_json: Json = False,
) -> None:
    """Print a list of noise levels as diffusers or k-diffusion take it: Python to be pasted, or JSON."""
    from ...samplers.peers import export_sigmas
    from ..planning.levels import levels_of, read_levels

    by_model = steps is not None and model is not None
    if by_model == (sigmas is not None) or (steps is None) != (model is None):
        raise ValueError("give a list of levels, or both --steps and --model (with --schedule)")
    levels = levels_of(schedule, steps, model) if steps is not None and model is not None else read_levels(sigmas or "")
    found = export_sigmas(to, levels)
    if as_json:
        return print_json(found)
    if found["notes"]:
        say(f"# {found['notes']}")
    say(f"sigmas = {found['sigmas']}")
    return say(found["call"])
