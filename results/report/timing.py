"""Where the time goes: the network's share and the sampler's own, at the largest budget that was timed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..record import Record
from ..values import number, rows_of, text


@dataclass(frozen=True)
class Timed:
    """A timed row: milliseconds per sample, and the parts of its bar in percent of the longest bar of the table."""

    row: Record
    model_share: float
    own_share: float

    @property
    def unsettled(self) -> bool:
        """Whether the timing stopped before its interval was narrow enough."""
        return self.row.get("timing_converged") is False


@dataclass(frozen=True)
class Timing:
    """Timed rows of one problem at one budget, the fastest first; ``device`` is where."""

    budget: int
    device: str
    rows: tuple[Timed, ...]


def timing_of(rows: pd.DataFrame) -> Timing | None:
    """The timing of one problem, at the largest budget with the most timed curves; None if nothing was timed."""
    done = rows_of(rows.loc[rows["status"] == "ok"])
    timed = [row for row in done if row["slot"] is not None and number(row, "ms_per_sample") is not None]
    if not timed:
        return None
    slots = [int(number(row, "slot") or 0) for row in timed]
    budget = max(set(slots), key=lambda slot: (slots.count(slot), slot))
    chosen = sorted((row for row in timed if row["slot"] == budget), key=lambda row: number(row, "ms_per_sample") or 0.0)
    longest = max(number(row, "ms_per_sample") or 0.0 for row in chosen) or 1.0
    devices = dict.fromkeys(text(row, "device") for row in chosen)
    return Timing(budget, ", ".join(filter(None, devices)), tuple(_timed(row, longest) for row in chosen))


def _timed(row: Record, longest: float) -> Timed:
    total = number(row, "ms_per_sample") or 0.0
    model = number(row, "model_ms_per_sample")
    inner = total if model is None else min(model, total)
    return Timed(row, 100 * inner / longest, 100 * (total - inner) / longest)
