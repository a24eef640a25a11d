"""``explain``: why sampling takes many steps, measured."""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from samplerbench.benchmarks.cli.common import JobsOption, cores, integers, say, workers
from samplerbench.benchmarks.running.executors import Failure

EXPLAIN_HOME = Path("results") / "runs" / "explain"
TAKES = "A full run takes about 18 minutes on two free cores, a fast one less than 2."
"""Sentence on the duration, with the same words in README.md and docs/explanation/why-steps.md."""
CORES = cores()

EXAMPLES = ("explain --fast", "explain --rows 1,3")


def explain(
    rows: Annotated[
        str | None, typer.Option("--rows", help="Rows to measure, e.g. 1,3 (all).")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help=f"Fewer samples and steps. {TAKES}")] = False,
    out_dir: Annotated[
        Path,
        typer.Option("--out", help="Folder for measurements and page (in fast/ or full/)."),
    ] = EXPLAIN_HOME,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", help="NAME=OTHER: measure model OTHER in place of NAME."),
    ] = None,
    jobs: JobsOption = CORES,
) -> None:
    """Measure why sampling takes many steps; write the page."""
    from ..why_steps.measuring.row import Answer
    from ..why_steps.page import WORDS, write_page
    from ..why_steps.run import Plan
    from ..why_steps.run import explain as measure

    failed = []

    def told(number: int, answer: Answer | Failure, seconds: float | None) -> None:
        if isinstance(answer, Failure):
            failed.append(number)
            return say(f"Row {number}: {answer.status}, {answer.reason}.")
        sentence = re.sub(r"<[^>]*>", " ", answer.verdict.sentence)
        return say(
            f"Row {number}: claim {WORDS[answer.verdict.kind][1]} ({seconds:.0f} s). {' '.join(sentence.split())}"
        )

    effort = "fast" if fast else "full"
    pairs = tuple(_parse_pair(text) for text in replace or ())
    folder = out_dir / folder_of_run(effort, pairs)
    plan = Plan(effort, folder, pairs)
    with closing(workers(jobs)) as executor:
        answers = measure(plan, integers(rows, "--rows"), executor, told)
    say(f"Page: {write_page(folder / 'why-steps.html', answers, plan.effort())}")
    if failed:
        raise typer.Exit(1)


def folder_of_run(effort: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Return the name of a run's folder; runs with other models have folders of their own."""
    from samplerbench.benchmarks.suites import file_name

    if not pairs:
        return effort
    words = "-".join([effort, *(f"{name}-as-{other}" for name, other in sorted(pairs))])
    return file_name(words, hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()[:8])


def _parse_pair(text: str) -> tuple[str, str]:
    """Return the two names of ``NAME=OTHER``.

    Raises:
        ValueError: anything else.
    """
    name, sign, other = text.partition("=")
    if not (name and sign and other):
        raise ValueError(
            f"--replace {text!r}: give NAME=OTHER, such as --replace fashion-mppca=gaussian"
        )
    return name, other
