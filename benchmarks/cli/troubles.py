"""What ``run`` says at its end of cells that have no results, and its exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from .console import say

if TYPE_CHECKING:
    from ...results.table.result_table import ResultTable

_MOST_REASONS = 6
_MOST_NAMES = 3


def say_troubles(table: ResultTable, cells: Collection[str], folder: Path) -> int:
    """Print how many of the run's cells are not ok, and why, a line for each reason.

    Args:
        table: of the run directory, which may hold cells of other runs too.
        cells: keys of the cells that were asked for.
        folder: the run directory.

    Returns:
        The exit code: 1 if there are cells and none of them is ok, else 0.
    """
    rows = [row for row in table.frame.astype(object).to_dict(orient="records") if row["cell"] in cells]
    bad = [row for row in rows if row["status"] != "ok"]
    if not bad:
        return 0
    kinds = ", ".join(f"{n} {status}" for status, n in Counter(row["status"] for row in bad).items())
    say(f"{len(bad)} of {len(rows)} cells are not ok ({kinds}); samplerbench status {folder} says why.")
    reasons: dict[str, list[str]] = {}
    for row in bad:
        reason = row["reason"] if isinstance(row["reason"], str) else "no reason is on record"
        reasons.setdefault(f"{row['status']}: {reason}", []).append(f"{row['model']} {row['sampler']}")
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    for reason, names in ordered[:_MOST_REASONS]:
        say(f"  {len(names)} {reason} ({_few(names)})")
    if len(ordered) > _MOST_REASONS:
        say(f"  … and {len(ordered) - _MOST_REASONS} other reasons")
    return int(len(bad) == len(rows))


def _few(names: list[str]) -> str:
    """The first of some names, each once."""
    once = list(dict.fromkeys(names))
    return ", ".join(once[:_MOST_NAMES]) + (f" and {len(once) - _MOST_NAMES} more" if len(once) > _MOST_NAMES else "")
