"""Several runs: each against the first, cell by cell, with verdicts.

And what differs in how they were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..comparison.compare import Comparison, compare, notes
from ..table.reading import run_names


@dataclass(frozen=True)
class RunComparison:
    """Comparison of two runs, or the reason why there is none.

    Attributes:
        baseline, candidate: names of the runs.
        found: the lines; None if the runs cannot be compared.
        counts: lines by verdict.
        notes: what is to be known, a sentence each; the reason where there is nothing else.
    """

    baseline: str
    candidate: str
    found: Comparison | None
    counts: dict[str, int]
    notes: tuple[str, ...]


def comparisons_of(sources: Sequence[Path]) -> list[RunComparison]:
    """Return the comparison of each further run with the first."""
    first, *further = zip(run_names(sources), sources, strict=True)
    return [_compared(first, other) for other in further]


def _compared(first: tuple[str, Path], second: tuple[str, Path]) -> RunComparison:
    (baseline, a), (candidate, b) = first, second
    try:
        comparison = compare(a, b, metrics=("all",))
    except ValueError as error:
        return RunComparison(baseline, candidate, None, {}, (str(error),))
    return RunComparison(
        baseline,
        candidate,
        comparison,
        dict(Counter(line.verdict for line in comparison.lines).most_common()),
        tuple(notes(comparison)),
    )
