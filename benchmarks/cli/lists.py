"""``list``: what there is."""

from __future__ import annotations

import difflib
import textwrap
from typing import Annotated, Any

import typer

from .console import out, print_json, print_rows
from .options import Json, PeersPath, Plugins, load_plugins

SAMPLER_COLUMNS = {
    "name": "name", "order": "order", "measured": "measured", "nfe_per_step": "per step", "kind": "kind", "source": "source",
    "same_as": "same as",
}  # fmt: skip
HIDDEN = {"url", "deviations", "options", "identity", "origin", "source"}
SOURCE_WIDTH = 30
"""Characters of a source in text; ``--json`` has all of it. With it, the table of samplers takes 120."""


def list_command(
    kind: Annotated[str, typer.Argument(help="samplers, schedules, models, metrics, suites or peers.")],
    profile: Annotated[int | None, typer.Option("--profile", help="Samplers: the order of each step on this many steps.")] = None,
    translate: Annotated[str | None, typer.Option("--translate", help="Samplers: what a library's names are called here.")] = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """List what there is. Samplers: declared order, measured order, evaluations per step, source."""
    load_plugins(plugin, peers_path)
    rows = _rows(kind, profile, translate)
    if as_json:
        return print_json(rows)
    if not rows:
        return out.print(f"There are no {kind} here.", markup=False)
    if kind == "samplers" and "order" in rows[0]:
        return print_rows([_short(row) for row in rows], SAMPLER_COLUMNS)
    hidden = HIDDEN - {"source"} | {"needs_model"} if kind == "schedules" else HIDDEN
    return print_rows(rows, {key: key for key in rows[0] if key not in hidden})


def _rows(kind: str, profile: int | None, translate: str | None) -> list[dict[str, Any]]:
    from .listing import KINDS, list_profiles, list_translations

    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        raise ValueError(f"cannot list {kind!r}; " + (f"did you mean {close[0]}?" if close else f"choose one of {', '.join(KINDS)}"))
    if kind != "samplers" and (profile is not None or translate is not None):
        raise ValueError(f"--profile and --translate go with list samplers, not with list {kind}")
    if profile is not None and translate is not None:
        raise ValueError("give --profile or --translate, not both")
    if profile is not None:
        return list_profiles(profile)
    return KINDS[kind]() if translate is None else list_translations(translate)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A sampler's row with a source that fits, and the weak order for the one of a stochastic sampler."""
    measured = row["measured"] or ("" if row["weak"] is None else f"weak {row['weak']}")
    return {**row, "measured": measured, "source": textwrap.shorten(row["source"], SOURCE_WIDTH, placeholder=" …")}
