"""Verdicts against a baseline as marks beside the values of a ranking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .compare import compare_with
from .estimates import QUANTITIES
from .verdict import Verdict

Place = tuple[str, str, int]
"""Model, curve and budget."""
Marks = Mapping[Place, Verdict]

USUAL = "euler"
"""The baseline where none is asked for: everybody has it."""
SYMBOLS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?", "no verdict": ""}


def verdicts_of(run: Path | str, metric: str, baseline: str | None = None) -> tuple[str, Marks]:
    """The baseline's name and the verdict on each row of a run that can be compared with it (:mod:`.compare`).

    Without a ``baseline`` it is :data:`USUAL`; where that is not in the run, where its samples left no influence values, or where
    ``metric`` has no standard error, there are no verdicts and the name is "".

    Raises:
        ValueError: a baseline was asked for, and there is nothing to compare with it.
    """
    names = [quantity.name for quantity in QUANTITIES]
    if baseline is None and (metric not in names or not (Path(run) / "parts").is_dir()):
        return "", {}
    if metric not in names:
        raise ValueError(f"{metric} has no verdicts against {baseline}; choose --metric from {', '.join(names)}")
    try:
        lines = compare_with(run, baseline or USUAL, metrics=[metric]).lines
    except ValueError:
        if baseline is not None:
            raise
        return "", {}
    found: Marks = {
        (line.model, line.sampler, line.budget): line.verdict for line in lines if line.budget is not None and line.verdict != "no verdict"
    }
    return (baseline or USUAL) if found else "", found
