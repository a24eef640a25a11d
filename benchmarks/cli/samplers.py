"""``list``, ``check``, ``export`` and ``cite``: listings, checks of samplers, levels for other
libraries; ``new-solver`` and ``new-metric``: packages of one's own.
"""

from __future__ import annotations

import dataclasses
import difflib
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.console import cell_text, err, out, print_json, print_rows, say
from .common.options import Json, PeersPath, Plugins, load_plugins

if TYPE_CHECKING:
    from ...models import Denoiser
    from ...samplers import Sampler
    from ..conformance import Conformance
    from .scaffold import Kind

LINE = "{name:<30} {order:>6} {measured:>14} {weak:>6} {strong:>7} {nfe_per_step:>9}  {passed}"
HEADINGS = {"name": "sampler", "nfe_per_step": "per step", "passed": ""} | {
    k: k for k in ("order", "measured", "weak", "strong")
}
SAMPLER_COLUMNS = {
    "name": "name",
    "order": "order",
    "measured": "measured",
    "nfe_per_step": "per step",
    "kind": "kind",
    "source": "source",
    "same_as": "same as",
}
HIDDEN = {"url", "deviations", "options", "identity", "origin", "source"}
SOURCE_WIDTH = 30
"""Characters of a source in text; ``--json`` has all of it.

With it, the table of samplers takes 120.
"""
PackageFolder = Annotated[Path, typer.Option("--out", help="Where to make the package.")]


def check(
    sampler: Annotated[
        list[str] | None, typer.Argument(help="Samplers, e.g. heun or 'ddim(eta=0.5)'.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Check every registered sampler.")
    ] = False,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write what was measured to this JSON file.")
    ] = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Check samplers: measured order, evaluations, purity, batch independence, exact moments,
    ends. Exit code 1 if a check fails.
    """
    from ..conformance import check_sampler, print_conformance
    from ..conformance.measured import entry_of, label_of, write_measured

    load_plugins(plugin, peers_path)
    subjects = _subjects(sampler or [], everything)
    if write is not None and not write.absolute().parent.is_dir():
        raise ValueError(f"--write {write}: there is no folder {write.parent}; make it first")
    several = len(subjects) > 1 or everything
    if several and not as_json:
        say(LINE.format(**HEADINGS))
    results: list[Conformance] = []
    for subject in subjects:
        results.append(check_sampler(subject))
        if several and not as_json:
            say(_line(label_of(results[-1]), entry_of(results[-1])))
    if write is not None:
        write_measured(write, {label_of(result): entry_of(result) for result in results})
        err.print(f"Wrote {write}", markup=False, soft_wrap=True)
    if as_json:
        print_json([result.as_dict() for result in results] if several else results[0].as_dict())
    elif several:
        _print_failures(results)
    else:
        print_conformance(results[0], out)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def _subjects(named: list[str], everything: bool) -> list[Any]:
    """Make all samplers to check, before the first is checked.

    Raises:
        ValueError: none was asked for, or some and all, or one does not exist, or has no steps of its own.
    """
    from ... import samplers
    from ...samplers.spec import parse_spec

    if everything and named:
        raise ValueError(f"give --all, or name samplers such as {named[0]}, not both")
    if not (everything or named):
        raise ValueError(
            "say which samplers to check, such as samplerbench check heun ddim; --all checks every one"
        )
    subjects = [
        samplers.make(parse_spec(spec)) for spec in (samplers.names() if everything else named)
    ]
    if stand_in := next((s.name for s in subjects if getattr(s, "of_checkpoint", False)), None):
        raise ValueError(
            f"{stand_in} has no steps of its own: it is whichever sampler the scheduler beside a checkpoint is; "
            "samplerbench check-model CHECKPOINT says which, and that one can be checked, such as "
            "samplerbench check dpmpp_2m"
        )
    return subjects


def _line(label: str, entry: dict[str, Any]) -> str:
    texts = {key: cell_text(value) for key, value in entry.items()}
    return LINE.format(**{**texts, "name": label, "passed": "pass" if entry["passed"] else "FAIL"})


def _print_failures(results: list[Conformance]) -> None:
    """Print how many samplers passed, and a sentence for each failure."""
    from ..conformance.measured import label_of

    failed = [result for result in results if not result.passed]
    say(f"{len(results) - len(failed)} of {len(results)} samplers passed")
    for result in failed:
        for failure in result.failures:
            say(f"{label_of(result)}: {failure.name}: {failure.detail}")
        for sentence in result.why:
            say(f"{label_of(result)}: why: {sentence}")


def list_command(
    kind: Annotated[
        str,
        typer.Argument(help="samplers, schedules, models, extractors, metrics, suites or peers."),
    ],
    profile: Annotated[
        int | None,
        typer.Option("--profile", help="Samplers: the order of each step on this many steps."),
    ] = None,
    translate: Annotated[
        str | None,
        typer.Option("--translate", help="Samplers: what a library's names are called here."),
    ] = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """List what there is.

    Samplers: declared order, measured order, evaluations per step, source.
    """
    load_plugins(plugin, peers_path)
    rows = _rows(kind, profile, translate)
    if as_json:
        return print_json(rows)
    if not rows:
        return out.print(f"There are no {kind} here.", markup=False)
    if kind == "samplers" and "order" in rows[0]:
        return print_rows([_short(row) for row in rows], SAMPLER_COLUMNS)
    hidden = HIDDEN - {"source"} | {"needs_model"} if kind == "schedules" else HIDDEN
    visible = [row for row in rows if kind != "models" or row["event"]]
    print_rows(visible, {key: key for key in rows[0] if key not in hidden})
    for row in rows[len(visible) :]:
        say(f"{row['name']}  of {row['origin']}; what it loads is known once it is loaded")
    return None


def _rows(kind: str, profile: int | None, translate: str | None) -> list[dict[str, Any]]:
    from .listing import KINDS, list_profiles, list_translations

    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        raise ValueError(
            f"cannot list {kind!r}; "
            + (f"did you mean {close[0]}?" if close else f"choose one of {', '.join(KINDS)}")
        )
    if kind != "samplers" and (profile is not None or translate is not None):
        raise ValueError(f"--profile and --translate go with list samplers, not with list {kind}")
    if profile is not None and translate is not None:
        raise ValueError("give --profile or --translate, not both")
    if profile is not None:
        return list_profiles(profile)
    return KINDS[kind]() if translate is None else list_translations(translate)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Return a sampler's row with a source that fits, and a stochastic one's weak order as its order."""
    measured = row["measured"] or ("" if row["weak"] is None else f"weak {row['weak']}")
    return {
        **row,
        "measured": measured,
        "source": textwrap.shorten(row["source"], SOURCE_WIDTH, placeholder=" …"),
    }


def export(
    sigmas: Annotated[
        str | None, typer.Argument(help="Levels, e.g. 80,5,0.5,0 or 'karras(rho=7):10:0.002:80'.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="diffusers or k-diffusion; with --sampler comfyui and python too."
        ),
    ] = "k-diffusion",
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            help="With --steps and --model: the schedule; by default the levels that the model brings, or karras.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Number of steps on the model's range.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model whose range it is.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option("--sampler", help="With --model: lines that take this sampler's steps."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print noise levels, or a sampler on them, as other libraries take them: lines to be pasted, or JSON."""
    from ...samplers import make
    from ...samplers.peers import export_sigmas
    from ...samplers.spec import parse_spec
    from ..planning.models import load_model
    from ..planning.schedules import levels_of, read_levels

    by_model = steps is not None and model is not None
    alone = sampler is None or model is None
    if by_model == (sigmas is not None) or ((steps is None) != (model is None) and alone):
        raise ValueError("give a list of levels, or both --steps and --model (with --schedule)")
    if sampler is not None and model is None:
        raise ValueError(f"--sampler {sampler} needs the model that it samples; give --model")
    subject = None if model is None else load_model(model).model
    solver = None if sampler is None else make(parse_spec(sampler))
    levels = (
        levels_of(schedule, steps, subject, solver)
        if steps is not None and subject is not None
        else read_levels(sigmas or "")
    )
    if solver is not None and subject is not None and model is not None:
        return _export_sampler(to, solver, levels, subject, model, as_json=as_json)
    text = export_sigmas(to, levels)
    if as_json:
        return print_json(text)
    if text["notes"]:
        say(f"# {text['notes']}")
    say(f"sigmas = {text['sigmas']}")
    return say(text["call"])


def _export_sampler(
    to: str,
    sampler: Sampler,
    levels: tuple[float, ...],
    model: Denoiser,
    spec: str,
    *,
    as_json: bool,
) -> None:
    """Print lines that take a sampler's steps, and what the library does otherwise all the same."""
    from ...samplers import Grid
    from ..advice.exports import export as exported
    from ..planning.fitting import Pilot

    grid = Grid(levels)
    if getattr(sampler, "needs_look", False):
        sampler = Pilot(model, None, "cpu").fitted(sampler, grid)
    lines = exported(to, sampler, grid, model, spec)
    if as_json:
        return print_json(dataclasses.asdict(lines))
    say(lines.code)
    return say(f"# {lines.remark}") if lines.remark else None


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
