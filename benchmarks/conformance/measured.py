"""Results of ``samplerbench check`` for each built-in sampler, in a file that listings read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ...results.run_directory.files import json_text, write_text
from ...samplers import Sampler, karras
from .check import Conformance
from .order import range_in_words

MEASURED_FILE = Path(__file__).with_name("measured.json")
FEW, MANY = 3, 10
"""Numbers of steps, run by ``check``, whose evaluation counts give the evaluations per step."""

Entry = dict[str, Any]


def entry_of(result: Conformance) -> Entry:
    """Return a summary of the results, an entry of the file; values not measured are None.

    ``measured`` is the range of orders as text, None if no order is declared. ``weak`` and
    ``strong`` are a stochastic sampler's orders. ``nfe_per_step`` is counted, not declared.
    """
    data = {check.name: check.data for check in result.checks}
    slopes = [pair["slope"] for pair in data.get("order", {}).values()]
    weak, strong = (
        data.get(f"{kind} order", {}).get(f"{kind}_order") for kind in ("weak", "strong")
    )
    grids = data.get("nfe", {}).get("grids", ())
    counted = {grid["steps"]: grid["counted"] for grid in grids if grid["to_zero"]}
    known = counted and grids[0]["declared"] is not None
    return {
        "order": result.order,
        "measured": range_in_words(slopes) if slopes and result.order is not None else None,
        "weak": _rounded(min(weak)) if weak else None,
        "strong": _rounded(strong),
        "nfe_per_step": _cost_per_step(counted[FEW], counted[MANY]) if known else None,
        "passed": result.passed,
    }


def _rounded(order: float | None) -> float | None:
    return None if order is None or not math.isfinite(order) else round(order, 2)


def nfe_per_step(sampler: Sampler) -> float | None:
    """Return the declared number of evaluations per step; None if adaptive or not declared."""
    if sampler.adaptive:
        return None
    few, many = (sampler.nfe(karras(n, 0.01, 10.0)) for n in (FEW, MANY))
    return None if few is None or many is None else _cost_per_step(few, many)


def _cost_per_step(few: float, many: float) -> float:
    return round((many - few) / (MANY - FEW), 3)


def write_measured(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write entries by sampler as JSON, one sampler a line to keep diffs small."""
    write_text(path, json_text(dict(sorted(entries.items())), spread=False))


@cache
def shipped_entries() -> dict[str, Entry]:
    """Return the entries of the shipped file by sampler label; empty if the file is missing."""
    return json.loads(MEASURED_FILE.read_text(encoding="utf-8")) if MEASURED_FILE.is_file() else {}
