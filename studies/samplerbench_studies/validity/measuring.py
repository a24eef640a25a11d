"""Runs methods on a model of ours, by the harness: what is missing is sampled, all columns come from
its table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from samplerbench.benchmarks import Suite, make_schedule
from samplerbench.benchmarks.running import Setup, run, set_up
from samplerbench.benchmarks.running.executors import Executor
from samplerbench.benchmarks.suites import check_suite, file_name, label_of
from samplerbench.models import make_model
from samplerbench.models.extractors import Samples, make_extractor
from samplerbench.results import ResultTable
from samplerbench.samplers import make

from .methods import Method, suite_axes

FEATURES = 32
"""Of a model that has more; 480 samples are enough for intervals that hold."""

Asked = Mapping[Method, Iterable[int]]
"""Methods and the budgets at which they are wanted."""

Place = tuple[Method, int]
"""A method at a budget."""

Measured = dict[Place, dict[str, float]]
"""Columns by (method, budget)."""

COLUMNS = ("rmse", "rmse_median", "fd_conv", "fid_proxy", "kid", "energy", "swd")
"""Columns of which each is tried; the lower the better. Stochastic samplers have no ``rmse``."""

OWN_ERROR = "fid_proxy_converged"
"""Column of the model's own error, the same in all its rows."""


@dataclass(frozen=True)
class Depth:
    """Numbers of samples and latents that are drawn from a model.

    Attributes:
        samples: of each cell, for the columns that compare distributions.
        latents: of them, whose endpoints are known, for ``rmse`` and its like.
        converged: samples that ``fd_conv`` compares with, where a model's card has none.
        thresholded: whether predictions of the data are thresholded where the papers' code did. On
            photographs that changes little; on data that lie at the ends of their range, as the
            backgrounds of the shipped models' do, it darkens whole images (docs/explanation/predicting.md).
    """

    samples: int = 512
    latents: int = 256
    converged: int = 1000
    thresholded: bool = False


def feature_space_of(model: str) -> str:
    """Return the feature space of a model's samples: 32 axes of the card's features where there are
    any.
    """
    made = make_model(model)
    fewer = f"card:{FEATURES}"
    try:
        make_extractor(fewer, Samples(made.decoded_event, made.decoded_limits, made.reference()))
    except ValueError:
        return "card"
    return fewer


def suite_of(model: str, asked: Asked, depth: Depth) -> Suite:
    """Return the suite whose cells contain the methods on a model."""
    budgets = sorted({budget for wanted in asked.values() for budget in wanted})
    return check_suite(
        {
            "name": "validate",
            "models": [model],
            **suite_axes(asked, thresholded=depth.thresholded),
            "nfe": budgets,
            "samples": depth.samples,
            "reference_samples": min(depth.latents, depth.samples),
            "converged_samples": depth.converged,
            "batch_size": 32,  # what a CPU is quickest with
            "extractor": feature_space_of(model),
            "keep": 0,
            "timing": {"enabled": False},
        },
        "the study",
    )


def measure_model(
    model: str,
    asked: Asked,
    depth: Depth,
    out: Path,
    *,
    console: Console,
    executor: Executor | None = None,
) -> Measured:
    """Return the columns of methods on a model, after sampling what ``out`` lacks.

    Args:
        model: spec of a model of ours.
        asked: what to run.
        depth: how much of it.
        out: folder, with a run directory for each model.
        console: for progress.
        executor: where samplers run; None for this process.

    Raises:
        ValueError: there is no such model, or the folder holds something else.
    """
    setup = set_up(
        suite_of(model, asked, depth),
        out / file_name(model, ""),
        device="cpu",
        console=console,
        executor=executor,
    )
    wanted = places_by_cell_key(setup, asked, depth)
    cells = [cell for cell in setup.cells if cell.key in wanted]
    table = run(replace(setup, cells=cells), timing=False)
    return numbers_by_method_and_budget(table, wanted)


def places_by_cell_key(setup: Setup, asked: Asked, depth: Depth) -> dict[str, Place]:
    """Return method and budget, by cell key, of the cells that spend their budget to the last
    evaluation.
    """
    by_place = {
        (
            label_of(make(method.sampler_for(thresholded=depth.thresholded))),
            make_schedule(method.schedule).label,
            method.end,
        ): method
        for method in asked
    }
    found = {}
    for cell in setup.cells:
        method = by_place.get((cell.label, cell.schedule.label, cell.end))
        if method is None or cell.budget is None or cell.grid is None:
            continue
        exact = cell.sampler.nfe(cell.grid) == cell.budget
        if exact and cell.budget in asked[method]:
            found[cell.key] = (method, cell.budget)
    return found


def numbers_by_method_and_budget(table: ResultTable, wanted: Mapping[str, Place]) -> Measured:
    """Return the numbers of a run by method and budget; rows that failed or missed the budget are
    left out.
    """
    measured: Measured = {}
    for row in table.frame.to_dict("records"):
        place = wanted.get(row["cell"])
        if place is None or row["status"] != "ok" or row["nfe"] != place[1]:
            continue
        measured[place] = {
            column: float(row[column])
            for column in (*COLUMNS, OWN_ERROR)
            if column in row and not pd.isna(row[column])
        }
    return measured
