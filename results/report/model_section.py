"""Section of the report on one model, with its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..comparison.findings import Findings
from ..comparison.headline import headline
from ..run_directory.reading import run_record
from ..table.description import without_data
from ..terminal.path_curvature import curvature_lines_of_runs
from ..values import text
from .answer import Answer, answer, lead
from .pictures.sample_grids import SampleGrid
from .pictures.trajectories import TrajectoryStrips
from .plots import CurveStyle, plot_of
from .recommendation import Front, fronts_of
from .timing import Timing, timing_of

Homes = Mapping[str, Path]
"""Path of each run by its name in the column ``run``; of the only one as ""."""


@dataclass(frozen=True)
class ModelSection:
    """Section on one model; a part is None where nothing is known of it."""

    title: str
    answer: Answer | None
    lead: tuple[str, ...]
    fronts: tuple[Front, ...]
    plot: dict[str, Any] | None
    grid: SampleGrid | None
    trajectories: TrajectoryStrips | None
    path_curvature: tuple[str, ...]
    timing: Timing | None
    undrawn: tuple[str, ...]
    missing: int
    without_data: str


def model_section(
    title: str,
    rows: pd.DataFrame,
    found: Findings | None,
    styles: Mapping[str, CurveStyle],
    grid: SampleGrid | None,
    trajectories: TrajectoryStrips | None,
    homes: Homes,
) -> ModelSection:
    """Return the section of one problem.

    Args:
        title: of the problem (:func:`..table.curves.comparable_parts`).
        rows: its rows.
        found: what can be said of them.
        styles: of its curves.
        grid: its pictures.
        trajectories: its saved ones.
        homes: where its runs lie.
    """
    said = answer(found, rows)
    bad = rows.loc[~rows["status"].isin(["ok", "missing"])].astype(object).to_dict("records")
    return ModelSection(
        title,
        said,
        lead(found, said, headline(rows.drop(columns=["curve", "slot"]))) if found and said else (),
        fronts_of(found) if found else (),
        plot_of(title, rows, styles),
        grid,
        trajectories,
        curvature_lines_of_runs(homes.values(), text(rows.iloc[0].to_dict(), "model")),
        timing_of(rows, homes, found),
        tuple(
            f"{text(row, 'curve')} at {row['slot'] if row['slot'] is not pd.NA else '?'} "
            f"NFE ({row['status']})"
            for row in bad
        ),
        len(rows.loc[rows["status"] == "missing"]),
        without_data(rows) or left_out(rows, homes.values()),
    )


def left_out(rows: pd.DataFrame, homes: Iterable[Path]) -> str:
    """Return the limits of the statistics that the rows of one model are compared with, as a
    sentence.

    It comes from the first run that states them; "" if none does, as with real samples.
    """
    first = rows.iloc[0].to_dict()
    for home in homes:
        references = run_record(home).get("references")
        about = references.get(text(first, "model")) if isinstance(references, dict) else None
        if not isinstance(about, dict) or not about.get("note"):
            continue
        if f"reference {about.get('identity')};" in f"{text(first, 'estimator')};":
            return f"Of what samples are compared with: {about['note']}."
    return ""
