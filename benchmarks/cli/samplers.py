"""Commands ``list``, ``check``, ``export``, ``cite``, ``new-solver`` and ``new-metric``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...results.text import name_hint
from .common.console import err, format_value, out, print_json, print_rows, say, say_next
from .common.options import (
    Json,
    PeersPath,
    Plugins,
    argument,
    flag,
    load_plugins,
    option,
    option_default,
)

if TYPE_CHECKING:
    from ..conformance import Conformance
    from .scaffold import Kind

LINE = "{name:<27} {order:>6} {measured:>14} {weak:>6} {strong:>7} {nfe_per_step:>9}  {passed}"
HEADINGS = {"name": "sampler", "nfe_per_step": "per step", "passed": ""} | {
    k: k for k in ("order", "measured", "weak", "strong")
}
PackageFolder = Annotated[Path, option("--out FOLDER", "Parent folder of the package.")]


def check(
    sampler: list[str] | None = argument("Samplers, e.g. heun or 'ddim(eta=0.5)'.", None),
    everything: bool = flag("--all", "Check every registered sampler."),
    write: Path | None = option_default(
        "--write FILE", "Also write the measurements to this JSON file."
    ),
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Check that samplers do what they declare.

    Order, evaluations, purity, batch independence, exact moments and ends. Exit code 1 if a
    check fails.
    """
    from ..conformance import check_sampler, print_conformance
    from ..conformance.measured import entry_of, write_measured

    load_plugins(plugin, peers_path)
    subjects = _samplers_to_check(sampler or [], everything)
    if write is not None and not write.absolute().parent.is_dir():
        raise ValueError(f"--write {write}: there is no folder {write.parent}; make it first")
    several = len(subjects) > 1 or everything
    if several and not as_json:
        say(LINE.format(**HEADINGS))
    results: list[Conformance] = []
    for subject in subjects:
        results.append(check_sampler(subject))
        if several and not as_json:
            say(_check_line(results[-1].title, entry_of(results[-1])))
    if write is not None:
        write_measured(write, {result.title: entry_of(result) for result in results})
        say(f"Wrote {write}", to=err)
    if as_json:
        print_json([result.as_dict() for result in results] if several else results[0].as_dict())
    elif several:
        _print_failures(results)
    else:
        print_conformance(results[0], out)
    if not all(result.passed for result in results):
        raise typer.Exit(1)
    if not as_json:
        words = [part for spec in sampler or ["NAME"] for part in ("--sampler", spec)]
        say_next(["run", "quick", *words, *_plugin_words(plugin)])


def _plugin_words(files: list[Path] | None) -> list[str | Path]:
    """Return the words of a command line that name plugin files."""
    return [word for file in files or () for word in ("--plugin", file)]


def _samplers_to_check(named: list[str], everything: bool) -> list[Any]:
    """Return the samplers to check; raises a ValueError unless names or ``--all`` are given."""
    from ... import samplers
    from ..checking import sampler_to_check

    if everything and named:
        raise ValueError(f"give --all, or name samplers such as {named[0]}, not both")
    if not (everything or named):
        raise ValueError(
            "name the samplers to check, such as samplerbench check heun ddim, or use --all"
        )
    if everything:
        named = samplers.names(complete=True)
        for name in sorted({*samplers.names()} - {*named}):
            logging.getLogger("samplerbench").warning(
                "%s is not checked: name it with its options that have no default.", name
            )
    return [sampler_to_check(spec) for spec in named]


def _check_line(label: str, entry: dict[str, Any]) -> str:
    texts = {key: format_value(value) for key, value in entry.items()}
    return LINE.format(**{**texts, "name": label, "passed": "pass" if entry["passed"] else "FAIL"})


def _print_failures(results: list[Conformance]) -> None:
    failed = [result for result in results if not result.passed]
    say(f"{len(results) - len(failed)} of {len(results)} samplers passed")
    for result in failed:
        for failure in result.failures:
            say(f"{result.title}: {failure.name}: {failure.detail}")
        for sentence in result.why:
            say(f"{result.title}: why: {sentence}")


def list_command(
    kind: str = argument(
        "samplers, schedules, models, families, extractors, metrics, suites or peers."
    ),
    translate: str | None = option_default(
        "--translate LIBRARY",
        "Samplers or schedules: our names for a library's, such as comfyui, forge or diffusers.",
    ),
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """List samplers, schedules, models, suites and more.

    Of samplers: declared and measured order, and evaluations per step. --json has sources and more.
    """
    from .listing import NEXT, group_rows

    load_plugins(plugin, peers_path)
    rows = _listed_rows(kind, translate)
    if as_json:
        return print_json(rows)
    if not rows:
        return out.print(f"There are no {kind} here.", markup=False)
    for heading, lines, columns in group_rows(kind, rows):
        print_rows(lines, {"name": heading} | columns)
        out.print()
    return say_next(*NEXT[kind])


def _listed_rows(kind: str, translate: str | None) -> list[dict[str, Any]]:
    from ...samplers.peers import translate as translations
    from .listing import KINDS

    if kind not in KINDS:
        raise ValueError(f"cannot list {kind!r}; {name_hint(kind, KINDS)}")
    if kind not in ("samplers", "schedules") and translate is not None:
        raise ValueError(f"--translate goes with list samplers or schedules, not with list {kind}")
    if translate is None:
        return KINDS[kind]()
    return translations(translate, "sampler" if kind == "samplers" else "schedule")


def export(
    sigmas: str | None = argument(
        "Noise levels, e.g. 80,5,0.5,0 or 'karras(rho=7):10:0.002:80'.", None
    ),
    to: str = option_default(
        "--to LIBRARY",
        "diffusers or k-diffusion; with --sampler also comfyui, comfyui-node or python.",
        default="k-diffusion",
    ),
    schedule: str | None = option_default(
        "--schedule SCHEDULE",
        "With --steps and --model (default: the model's own levels, or karras).",
    ),
    steps: int | None = option_default("--steps N", "Number of steps on the model's range."),
    model: str | None = option_default("--model MODEL", "Model that gives the range of levels."),
    sampler: str | None = option_default(
        "--sampler SAMPLER", "With --model: code for the steps of this sampler."
    ),
    out_dir: Path | None = option_default(
        "--out FOLDER", "Write the sampler as a folder for diffusers or comfyui-node."
    ),
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Print noise levels or a sampler for other libraries.

    The output is code to paste, or JSON.
    """
    from ..api import export as export_lines

    load_plugins(plugin)
    lines = export_lines(
        sigmas, to, schedule=schedule, steps=steps, model=model, sampler=sampler, out=out_dir
    )
    if as_json:
        return print_json(lines)
    for file in lines.get("files", ()):
        say(f"Wrote {file}", to=err)
    if "code" in lines:
        say(lines["code"])
        if lines["remark"]:
            say(f"# {lines['remark']}")
    else:
        if lines["notes"]:
            say(f"# {lines['notes']}")
        say(f"sigmas = {lines['sigmas']}")
        say(lines["call"])
    if model is not None:  # not on the standard output, which has code to paste
        words = ["--sampler", sampler] if sampler else []
        say_next(["run", "quick", "--model", model, *words, *_plugin_words(plugin)], to=err)
    return None


def new_solver(
    name: str = argument("Name of the sampler, e.g. my_solver."),
    folder: PackageFolder = Path(),
) -> None:
    """Write a package with a working sampler and its test."""
    _new_package("solver", name, folder)


def new_metric(
    name: str = argument("Name of the metric and its column, e.g. my_metric."),
    folder: PackageFolder = Path(),
) -> None:
    """Write a package with a working metric and its test."""
    _new_package("metric", name, folder)


def _new_package(kind: Kind, name: str, folder: Path) -> None:
    from . import scaffold

    load_plugins(None)
    path = scaffold.new_package(kind, name, folder)
    say(f"Wrote {path}. Next:")
    for line in scaffold.next_steps(kind, name, path):
        say(f"  {line}")


def cite(sampler: list[str] = argument("Samplers."), plugin: Plugins = None) -> None:
    """Print the BibTeX entries of samplers."""
    from ... import samplers

    load_plugins(plugin)
    say(samplers.bibtex([samplers.get(name).source.key for name in sampler]))
