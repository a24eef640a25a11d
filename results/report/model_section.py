"""What the report says of one model: the parts of its section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..comparison.findings import Findings
from ..comparison.headline import headline
from ..table.description import without_data
from ..terminal.path_curvature import bending_in
from ..values import text
from .answer import Answer, answer, lead
from .pictures.sample_grids import SampleGrid
from .pictures.trajectories import Evolution
from .plots import Look, plot_of
from .recommendation import Front, fronts_of
from .timing import Timing, timing_of

Homes = Mapping[str, Path]
"""Path of each run by its name in the column ``run``; of the only one as ""."""


@dataclass(frozen=True)
class Problem:
    """What the report says of one model; a part is None where nothing is known of it."""

    title: str
    answer: Answer | None
    lead: tuple[str, ...]
    fronts: tuple[Front, ...]
    plot: dict[str, Any] | None
    grid: SampleGrid | None
    evolution: Evolution | None
    bending: tuple[str, ...]
    timing: Timing | None
    undrawn: tuple[str, ...]
    missing: int
    without_data: str


def problem_of(
    title: str, rows: pd.DataFrame, found: Findings | None, looks: Mapping[str, Look], grid: SampleGrid | None,
    evolution: Evolution | None, homes: Homes,
) -> Problem:  # fmt: skip
    """The parts of one problem.

    Args:
        title: of the problem (:func:`..table.curves.problems`).
        rows: its rows.
        found: what can be said of them.
        looks: of its curves.
        grid: its pictures.
        evolution: its trajectories.
        homes: where its runs lie.
    """
    said = answer(found, rows)
    bad = rows.loc[~rows["status"].isin(["ok", "missing"])].astype(object).to_dict("records")
    return Problem(
        title,
        said,
        lead(found, said, headline(rows.drop(columns=["curve", "slot"]))) if found and said else (),
        fronts_of(found) if found else (),
        plot_of(title, rows, looks),
        grid,
        evolution,
        bending_in(homes.values(), text(rows.iloc[0].to_dict(), "model")),
        timing_of(rows, homes),
        tuple(f"{text(row, 'curve')} at {row['slot'] if row['slot'] is not pd.NA else '?'} NFE ({row['status']})" for row in bad),
        len(rows.loc[rows["status"] == "missing"]),
        without_data(rows),
    )
