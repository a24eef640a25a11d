"""``run --until-decided`` and ``--target-se``: the options, and what is printed of the answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .comparing import share
from .console import out, print_rows, say

if TYPE_CHECKING:
    from ..running.sequential import Sequential
    from ..suites.suite import Suite, Until

WITHOUT = ("undecided", "futile", "not compared", "failed")
"""Verdicts that decide nothing; their reasons are printed."""

UntilDecided = Annotated[bool, typer.Option("--until-decided", help="Extend rows until their difference to a baseline is decided.")]
Baseline = Annotated[str | None, typer.Option("--baseline", help="Sampler to compare with (default: the suite's first).")]
Metric = Annotated[str | None, typer.Option("--metric", help="Column it is about (default: fd_conv).")]
Margin = Annotated[str | None, typer.Option("--margin", help="Difference that does not matter, as a share of the baseline (1%).")]
TargetSe = Annotated[float | None, typer.Option("--target-se", help="Extend rows until their standard error is this small.")]
MaxSamples = Annotated[int | None, typer.Option("--max-samples", help="Samples per row at most (default: 16 times the first).")]


def asked(
    suite: Suite, *, decided: bool, target_se: float | None, baseline: str | None, metric: str | None, margin: str | None, most: int | None
) -> Suite:
    """The suite with the question of the command line; what is not given stays as the suite has it.

    Raises:
        ValueError: an option that says how to stop, where nothing says when; or a value that makes no sense.
    """
    from ..suites.spec import parse_spec

    given: dict[str, Any] = {
        "target_se": target_se, "baseline": baseline, "metric": metric, "max_samples": most,
        "margin": None if margin is None else share(margin, "--margin"),
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    known = {} if suite.until is None else suite.until.model_dump()
    if given and not (decided or target_se is not None or known):
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} says how to extend rows; give --until-decided or --target-se with it")
    if decided and not (baseline or known.get("baseline")):
        given["baseline"] = parse_spec(suite.samplers[0])["name"]
    return suite.replaced(until={**known, **given}) if given else suite


def print_answer(run: Sequential) -> None:
    """Print each row with its verdict, and what the verdicts can bear."""
    from ...results.verdict import LEVEL

    rows = [{**row, "interval": _interval(row), "name": row["curve"]} for row in run.rows]
    print_rows(rows, _columns(run.until))
    counts = Counter(row["verdict"] for row in rows)
    say(f"{run.looks} looks at {run.until.column}: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) + ".")
    for reason, n in Counter(row["reason"] for row in rows if row["reason"] and row["verdict"] in WITHOUT).items():
        say(f"{n} without a decision: {reason}.")
    if run.until.baseline is not None:
        say(
            f"Against {run.until.baseline}, lower is better; verdicts hold together at {LEVEL:.0%}, over rows and looks. Δ is as last seen."
        )
    out.print()


def _columns(until: Until) -> dict[str, str]:
    shown = {"name": "sampler", "model": "model", "budget": "NFE", "samples": "samples"}
    return shown | ({} if until.baseline is None else {"interval": "Δ [95 %]"}) | {"verdict": "verdict"}


def _interval(row: dict[str, Any]) -> str:
    """``Δ [low, high]`` with two digits."""
    from ...results.text import short

    if row.get("low") is None:
        return ""
    return f"{short(row['difference'], 2)} [{short(row['low'], 2)}, {short(row['high'], 2)}]"
