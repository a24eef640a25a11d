"""Path curvature of a model in three lines, from ``run.json``
(``benchmarks.scoring.path_curvature``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..run_directory.reading import run_record
from ..text import Z95, format_number
from .ranking import sparkline

KEY = "path_curvature"
"""Key of the path curvature in ``run.json``, by model."""


def curvature_lines(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The lines on one model."""
    if not found:
        return ()
    spread = (
        ""
        if found["curvature_se"] is None
        else f" ± {format_number(Z95 * found['curvature_se'], 2)}"
    )
    top, (high, *_, low) = max(found["profile"]), found["edges"]
    if not top > 0:
        return ("paths: straight",)
    bars = sparkline(found["profile"], (top / 100, top))
    half = " to ".join(format_number(level, 2) for level in found["half"])
    return (
        f"paths: curvature {format_number(found['curvature'])}{spread} standard deviations, a "
        f"jump misses {format_number(found['jump'])};",
        f"bars: bending from sigma {format_number(high, 2)} |{bars}| to {format_number(low, 1)}, half of "
        f"it {half};",
        f"measures of the literature: deviation {format_number(found['deviation'], 2)}, "
        f"straightness {format_number(found['straightness'], 2)}",
    )


def curvature_lines_of_runs(homes: Iterable[Path], model: str) -> tuple[str, ...]:
    """Return the lines from the first of several runs that knows the model."""
    for home in homes:
        about = run_record(home)
        try:
            lines = curvature_lines((about.get(KEY) or {}).get(model))
        except (KeyError, TypeError, ValueError):  # an edited file can hold anything
            lines = ()
        if lines:
            return lines
    return ()
