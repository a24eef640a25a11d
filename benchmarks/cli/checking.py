"""``check``: the conformance suite on some samplers, or on all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import cell_text, err, out, print_json, say
from .options import Json, PeersPath, Plugins, load_plugins

if TYPE_CHECKING:
    from ..conformance import Conformance

LINE = "{name:<30} {order:>6} {measured:>14} {weak:>6} {strong:>7} {nfe_per_step:>9}  {passed}"
HEADINGS = {"name": "sampler", "nfe_per_step": "per step", "passed": ""} | {k: k for k in ("order", "measured", "weak", "strong")}


def check(
    sampler: Annotated[list[str] | None, typer.Argument(help="Samplers, e.g. heun or 'ddim(eta=0.5)'.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Check every registered sampler.")] = False,
    write: Annotated[Path | None, typer.Option("--write", help="Write what was measured to this JSON file.")] = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    as_json: Json = False,
) -> None:
    """Check samplers: measured order, evaluations, purity, batch independence, exact moments, ends. Exit code 1 if a check fails."""
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
    """The samplers to check, all of them made before the first is checked.

    Raises:
        ValueError: none was asked for, or some and all, or one does not exist.
    """
    from ... import samplers
    from ..suites.spec import parse_spec

    if everything == bool(named):
        raise ValueError("say which samplers to check, such as samplerbench check heun ddim, or give --all, not both")
    return [samplers.make(parse_spec(spec)) for spec in (samplers.names() if everything else named)]


def _line(label: str, entry: dict[str, Any]) -> str:
    texts = {key: cell_text(value) for key, value in entry.items()}
    return LINE.format(**{**texts, "name": label, "passed": "pass" if entry["passed"] else "FAIL"})


def _print_failures(results: list[Conformance]) -> None:
    """How many passed, and what did not, a sentence each."""
    from ..conformance.measured import label_of

    failed = [result for result in results if not result.passed]
    say(f"{len(results) - len(failed)} of {len(results)} samplers passed")
    for result in failed:
        for failure in result.failures:
            say(f"{label_of(result)}: {failure.name}: {failure.detail}")
        for sentence in result.why:
            say(f"{label_of(result)}: why: {sentence}")
