"""Spark-lines, and lines of text on the curvature of a model's paths from ``run.json``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..run_directory.reading import read_run_record
from ..text import Z95, format_number

KEY = "path_curvature"
"""Key of ``run.json`` with the path curvature of each model."""

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%@"


def sparkline(values: Sequence[float | None], ends: tuple[float, float]) -> str:
    """Return a bar for each value, by its logarithm between ``ends``, as text; a gap for None.

    >>> sparkline([100.0, 10.0, None, 1.0], (1.0, 100.0))
    '█▅ ▁'
    """
    low, high = map(math.log, ends)

    def letter(value: float) -> str:
        if value <= 0 or high <= low:
            return BLOCKS[0]
        share = (min(math.log(value), high) - low) / (high - low)
        top = len(BLOCKS) - 1
        return BLOCKS[min(top, max(0, int(share * top + 0.5)))]

    return "".join(" " if value is None else letter(value) for value in values)


def positive_range(values: Iterable[float | None]) -> tuple[float, float]:
    """Return the smallest and the largest positive finite value; (1, 1) if there is none."""
    positive = [value for value in values if value is not None and 0 < value < math.inf]
    return (min(positive), max(positive)) if positive else (1.0, 1.0)


def curvature_lines(record: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return text on one model's path curvature, from its item in ``run.json``; () without one."""
    if not record:
        return ()
    se, top, (high, *_, low) = record["curvature_se"], max(record["profile"]), record["edges"]
    if not top > 0:
        return ("paths: straight",)
    curvature, jump = format_number(record["curvature"]), format_number(record["jump"])
    spread = "" if se is None else f" ± {format_number(Z95 * se, 2)}"
    bars = sparkline(record["profile"], (top / 100, top))
    ends = f"from sigma {format_number(high, 2)} |{bars}| to {format_number(low, 1)}"
    half = " to ".join(format_number(level, 2) for level in record["half"])
    deviation, straightness = (format_number(record[k], 2) for k in ("deviation", "straightness"))
    return (
        f"paths: curvature {curvature}{spread} standard deviations, a jump misses {jump};",
        f"bars: bending {ends}, half of it {half};",
        f"measures of the literature: deviation {deviation}, straightness {straightness}",
    )


def first_curvature_lines(homes: Iterable[Path], model: str) -> tuple[str, ...]:
    """Return a model's :func:`curvature_lines` from the first run that has them; () without any."""
    for home in homes:
        about = read_run_record(home)
        try:
            lines = curvature_lines((about.get(KEY) or {}).get(model))
        except (KeyError, TypeError, ValueError):  # an edited run.json can have any values
            lines = ()
        if lines:
            return lines
    return ()
