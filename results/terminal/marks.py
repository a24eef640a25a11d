"""Verdicts against a baseline as marks beside the values of a ranking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..comparison.compare import compare_with
from ..comparison.findings import BASELINE
from ..comparison.significance import Verdict
from ..quantities import judged

Place = tuple[str, str, int]
"""Model, curve and budget."""
Marks = Mapping[Place, Verdict]


def verdicts_of(run: Path | str, metric: str | None = None, baseline: str | None = None) -> tuple[str, Marks]:
    """The baseline's name and the verdict on each row of a run that can be compared with it (:mod:`..comparison.compare`).

    Without a ``metric`` each model is judged by its default quantity
    (:func:`..comparison.estimates.default_quantity`). Without a ``baseline`` it is
    :data:`..comparison.findings.BASELINE`; where that is not in the run, or where ``metric`` has no
    standard error, there are no verdicts and the name is "".

    Raises:
        ValueError: a baseline was asked for, and there is nothing to compare with it.
    """
    names = [quantity.name for quantity in judged()]
    if metric is not None and metric not in names:
        if baseline is None:
            return "", {}
        raise ValueError(f"{metric} has no verdicts against {baseline}; choose --metric from {', '.join(names)}")
    try:
        lines = compare_with(run, baseline or BASELINE, metrics=[metric] if metric else ()).lines
    except ValueError:
        if baseline is not None:
            raise
        return "", {}
    found: Marks = {(line.model, line.sampler, line.budget): line.verdict for line in lines if line.budget is not None}
    return (baseline or BASELINE) if found else "", found
