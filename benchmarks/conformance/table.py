"""A conformance run in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .check import Conformance, Mark

STYLES: dict[Mark, str] = {"pass": "green", "FAIL": "bold red", "measured": "dim"}


def print_conformance(result: Conformance, console: Console) -> None:
    """Print one line a check, what the failures have in common, and errors against N where an order was measured."""
    params = "".join(f" {key}={value}" for key, value in result.params.items())
    table = Table(title=f"{result.sampler}{params}", title_justify="left", box=None, pad_edge=False)
    for heading in ("check", "", "found"):
        table.add_column(heading)
    for check in result.checks:
        table.add_row(check.name, f"[{STYLES[check.mark]}]{check.mark}[/]", escape(check.detail))
    console.print(table)
    for sentence in result.why:
        console.print(f"[bold]{'note' if result.passed else 'why'}[/]: {escape(sentence)}")
    verdict = "[green]passed[/]" if result.passed else f"[bold red]{len(result.failures)} of {len(result.checks)} checks failed[/]"
    console.print(f"{escape(result.sampler)}: {verdict} in {result.seconds:.1f} s")
    for check in result.checks:
        if check.name == "order" and check.data:
            console.print(_errors(check.data))


def _errors(data: dict[str, dict[str, list[float]]]) -> Table:
    """Global errors of a check of the order, a row per pair and a column per N."""
    steps = max((entry["N"] for entry in data.values()), key=len)
    table = Table(title="RMS error from exact start values", title_justify="left", box=None, pad_edge=False)
    table.add_column("problem / grid")
    for n in steps:
        table.add_column(f"N={n}", justify="right")
    table.add_column("slope", justify="right")
    for pair, entry in data.items():
        errors = [f"{error:.1e}" for error in entry["error"]] + [""] * (len(steps) - len(entry["error"]))
        table.add_row(pair, *errors, f"{entry['slope']:.2f}")
    return table
