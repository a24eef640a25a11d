"""Time per sample at the largest budget that was timed: the network's share, the sampler's
overhead, and the scatter of the times.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd

from ..record import Record
from ..run_directory.places import TIMING
from ..run_directory.run_dir import RunDir
from ..values import number, rows_of, text

REACH = 0.25
"""Raw times are drawn from a quarter below their median to a quarter above.

Those beyond, at the edge.
"""


@dataclass(frozen=True)
class Timed:
    """A timed row: milliseconds per sample, and the parts of its bar in percent of the longest bar
    of the table.

    Attributes:
        row: the row.
        model_share, own_share: the bar.
        spread: raw times, each as a place between 0 and 1 where 0.5 is the median.
    """

    row: Record
    model_share: float
    own_share: float
    spread: tuple[float, ...] = ()

    @property
    def unsettled(self) -> bool:
        """Whether the timing stopped before its interval was narrow enough."""
        return self.row.get("timing_converged") is False

    @property
    def flag(self) -> str:
        """Why the time is not to be trusted."""
        return text(self.row, "timing_flag")


@dataclass(frozen=True)
class Timing:
    """Timed rows of one problem at one budget, the fastest first.

    Attributes:
        budget: evaluations per sample.
        device: where.
        rows: the table.
        columns: which of the optional columns have values.
    """

    budget: int
    device: str
    rows: tuple[Timed, ...]
    columns: frozenset[str] = frozenset()


def timing_of(rows: pd.DataFrame, homes: Mapping[str, Path] | None = None) -> Timing | None:
    """The timing of one problem, at the largest budget with the most timed curves.

    None if nothing was timed.

    Args:
        rows: of the problem.
        homes: as in :func:`.answer.answer`, where raw times are read.
    """
    done = rows_of(rows.loc[rows["status"] == "ok"])
    timed = [
        row for row in done if row["slot"] is not None and number(row, "ms_per_sample") is not None
    ]
    if not timed:
        return None
    slots = [int(number(row, "slot") or 0) for row in timed]
    budget = max(set(slots), key=lambda slot: (slots.count(slot), slot))
    chosen = sorted(
        (row for row in timed if row["slot"] == budget),
        key=lambda row: number(row, "ms_per_sample") or 0.0,
    )
    longest = max(number(row, "ms_per_sample") or 0.0 for row in chosen) or 1.0
    lines = tuple(_timed(row, longest, _raw(row, homes or {})) for row in chosen)
    optional = ("decoder_ms_per_sample", "peak_memory_mb", "joules_per_sample", "timing_flag")
    columns = {name for name in optional if any(row.get(name) for row in chosen)} | (
        {"spread"} if any(x.spread for x in lines) else set()
    )
    return Timing(budget, _device(chosen), lines, frozenset(columns))


def sizes_of(paths: Iterable[Path]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Times at several batch sizes, in the ``timing.csv`` of runs: column heads, and a line for
    each row and batch size.
    """
    columns = (
        "model",
        "sampler",
        "budget",
        "steps",
        "timing_batch_size",
        "ms_per_sample",
        "overhead",
        "peak_memory_mb",
        "timing_flag",
    )
    lines = []
    for path in paths:
        file = path / "timing.csv"
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as stream:
                lines += [
                    tuple(line.get(name) or "" for name in columns)
                    for line in csv.DictReader(stream)
                ]
    return columns, lines


def _raw(row: Record, homes: Mapping[str, Path]) -> list[float]:
    """Milliseconds of the timed calls; none where they were not kept."""
    home = homes.get(text(row, "run"))
    if home is None or not (home / "parts").is_dir() or not row.get("cell"):
        return []
    return (RunDir(home).read(text(row, "cell"), TIMING) or {}).get("raw_total_ms") or []


def _timed(row: Record, longest: float, raw: list[float]) -> Timed:
    total = number(row, "ms_per_sample") or 0.0
    model = number(row, "model_ms_per_sample")
    inner = total if model is None else min(model, total)
    middle = median(raw) if raw else 1.0
    spread = (
        tuple(min(1.0, max(0.0, 0.5 + (time / middle - 1) / (2 * REACH))) for time in raw[:200])
        if middle > 0
        else ()
    )
    return Timed(row, 100 * inner / longest, 100 * (total - inner) / longest, spread)


def _device(rows: list[Record]) -> str:
    names = (text(row, "timing_device_name") or text(row, "device") for row in rows)
    return ", ".join(filter(None, dict.fromkeys(names)))
