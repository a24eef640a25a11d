"""Which sampler to take for each budget: the Pareto front, read as a recommendation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from ..pareto import pareto
from ..record import Record
from ..text import short
from ..values import number, rows_of, text
from .metrics import Measure

COSTS = (("nfe", "evaluations"), ("ms_per_sample", "ms"))
"""Columns that work is counted by, and their units."""


@dataclass(frozen=True)
class Choice:
    """A row of the front: the best for every budget from its cost up to the next one's.

    Attributes:
        budget: the range in words.
        row: the row.
        certain: whether it is on the front within the errors.
        alike: how many rows of its cost have its value, but for rounding; in one step methods coincide.
    """

    budget: str
    row: Record
    certain: bool
    alike: int = 1

    @property
    def curve(self) -> str:
        """Name of its curve, or that it does not matter."""
        return text(self.row, "curve") if self.alike == 1 else f"any of {self.alike} that coincide"


@dataclass(frozen=True)
class Front:
    """The front in one unit of work, the cheapest first; ``rest`` counts rows off it by points that errors could put on it."""

    unit: str
    choices: tuple[Choice, ...]
    rest: int


def fronts_of(rows: pd.DataFrame, measure: Measure) -> tuple[Front, ...]:
    """The fronts of one problem: by evaluations, and by time where it was measured."""
    done = rows.loc[rows["status"] == "ok"]
    return tuple(_front(done, measure, cost, unit) for cost, unit in COSTS if done[cost].notna().any())


def _front(done: pd.DataFrame, measure: Measure, cost: str, unit: str) -> Front:
    found = pareto(done, measure.name, cost)
    rows = rows_of(found)
    on = rows_of(found.loc[found["on_front"]].drop_duplicates(cost))
    costs = [number(row, cost) or 0.0 for row in on]
    ranges = [f"{short(low)} to {short(high)}" for low, high in pairwise(costs)] + [f"{short(cost)} or more" for cost in costs[-1:]]
    alike = [sum(row[cost] == other[cost] and _alike(row, other, measure) for other in rows) for row in on]
    choices = [Choice(words, row, row["front"] == "on", count) for words, row, count in zip(ranges, on, alike, strict=True)]
    return Front(unit, tuple(choices), len(found.loc[(found["front"] == "uncertain") & ~found["on_front"]]))


def _alike(row: Record, other: Record, measure: Measure) -> bool:
    return math.isclose(number(row, measure.name) or 0.0, number(other, measure.name) or 0.0, rel_tol=1e-5)
