"""The verdict of every row against a baseline sampler, from paired differences: the marks in the table of all rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..compare import MARGIN
from ..entries import measured, read_source
from ..estimates import QUANTITIES
from ..judging import Line, judged
from ..pairing import against
from ..values import text
from .answer import BASELINE

Lines = Mapping[tuple[str, str], Line]
"""By run (as in the column ``run``; "" where there is only one) and cell."""

SIGNS = {"better": "▲", "worse": "▼", "equivalent": "≈", "inconclusive": "?", "no verdict": "–"}


def verdicts_of(homes: Mapping[str, Path], baseline: str = BASELINE) -> Lines:
    """The lines of all runs, each compared within itself by the first metric that it has; none where there is no ``baseline``."""
    found: dict[tuple[str, str], Line] = {}
    for run, path in homes.items():
        source = read_source(path)
        quantities = measured([source], QUANTITIES)[:1] if source.entries else []
        if not quantities or not any(baseline in (text(entry.record, "sampler"), text(entry.record, "curve")) for entry in source.entries):
            continue
        pairs = [pair for pair in against(source.entries, baseline).pairs if all(entry.estimate(quantities[0]) for entry in pair)]
        lines = judged([(pair, quantities[0]) for pair in pairs], MARGIN)
        found |= {(run, text(pair.candidate.record, "cell")): line for pair, line in zip(pairs, lines, strict=True)}
    return found
