"""Measurement of methods on a model by the harness, which samples missing cells and makes the
table.
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
"""Number of features of models that have more; 480 samples are then enough for reliable
intervals.
"""

Asked = Mapping[Method, Iterable[int]]
"""Budgets to measure, by method."""

Place = tuple[Method, int]
"""Method with a budget."""

Measured = dict[Place, dict[str, float]]
"""Values by column, for each (method, budget)."""

COLUMNS = ("rmse", "rmse_median", "fd_conv", "fid_proxy", "kid", "energy", "swd")
"""Columns that are tried as predictors; lower is better. Stochastic samplers have no ``rmse``."""

OWN_ERROR = "fid_proxy_converged"
"""Column of the model's own error, the same in all its rows."""


@dataclass(frozen=True)
class Depth:
    """Numbers of samples and latents that are drawn from a model.

    Attributes:
        samples: samples of each cell, for columns that compare distributions.
        latents: number of these samples with known endpoints, for columns such as ``rmse``.
        converged: number of converged samples for ``fd_conv``, if the model's card has none.
        thresholded: True to threshold predictions of the data where the papers' code does. This
            changes photographs little. It darkens images whose values are often at the ends of
            their range, such as the backgrounds of the shipped data
            (docs/explanation/predicting.md).
    """

    samples: int = 512
    latents: int = 256
    converged: int = 1000
    thresholded: bool = False


def feature_space_of(model: str) -> str:
    """Return the feature space of a model: 32 axes of the card's features, if it has any."""
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
    """Return the columns of methods on a model, after sampling the cells that ``out`` lacks.

    Args:
        model: spec of the model.
        asked: methods with their budgets.
        depth: numbers of samples.
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
    """Return method and budget by cell key, for cells that use exactly their budget."""
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
    """Return the values of a run by method and budget, without failed rows and those off the
    budget.
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
