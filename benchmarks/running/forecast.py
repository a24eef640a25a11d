"""Forecast of a suite's cost: evaluations from the plan, seconds from short measurements."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...models.denoiser import Denoiser
from ...models.reference import Reference
from ..scoring.context import CellContext, gather_shards
from ..scoring.data import ModelData, ScoringReference
from ..scoring.reference_cost import reference_evaluations
from ..scoring.versions import requested_metrics
from ..suites.cell import Cell
from ..suites.suite import Suite
from ..timing.disturbances import LoadCounters, cpu_doubts
from .executors.shard_limits import (
    decoding_seconds_per_image,
    evaluations_per_second,
    expected_evaluations,
)

TRIED = 256  # number of random features in a trial of scoring


@dataclass(frozen=True)
class Forecast:
    """Forecast of the cost of one model's cells in a suite; seconds are of this machine."""

    model: str
    cells: int  # number of cells that run
    adaptive: int  # number of cells whose samplers are adaptive: their evaluations are guessed
    evaluations: float  # network passes times samples, for sampling
    seconds: float  # network time for sampling
    references: float  # seconds to make converged endpoints and samples
    scoring: float  # seconds to score all cells


@torch.no_grad()
def forecast_suite(
    suite: Suite,
    models: Mapping[str, Denoiser],
    references: Mapping[str, Reference | None],
    cells: Sequence[Cell],
    device: str,
) -> tuple[list[Forecast], list[str]]:
    """Forecast the cost of sampling, references and scoring per model; timing is left out.

    Returns:
        One forecast per model, and clauses on disturbances of the measured speed.
    """
    out, busy = [], LoadCounters()
    for name, model in models.items():
        own = [cell for cell in cells if cell.model == name and not cell.skip]
        evaluations = sum(expected_evaluations(model, cell) * cell.samples for cell in own)
        before = LoadCounters.of_this_moment()
        rate = evaluations_per_second(model, own[0].batch_size, device) if own else float("inf")
        busy = busy.plus(LoadCounters.of_this_moment().since(before))
        until_scored = reference_evaluations(suite, model, references[name], own)
        adaptive = sum(cell.sampler.adaptive for cell in own)
        scoring = scoring_seconds(model, references[name], own, suite.metrics)
        if references[name] is not None:
            scoring += decoding_seconds_per_image(model) * sum(cell.samples for cell in own)
        seconds, until_scored = evaluations / rate, until_scored / rate
        out.append(Forecast(name, len(own), adaptive, evaluations, seconds, until_scored, scoring))
    return out, cpu_doubts(busy, os.cpu_count() or 1, torch.get_num_threads())


def scoring_seconds(
    model: Denoiser, reference: Reference | None, cells: Sequence[Cell], names: Sequence[str] | None
) -> float:
    """Forecast the seconds to score a model's cells, by scoring a few random features.

    ``names`` are the suite's ``metrics``. The forecast is 0 without a reference or without cells.
    """
    if reference is None or not cells:
        return 0.0
    samples = max(cell.samples for cell in cells)
    count = min(samples, TRIED)
    rng = np.random.default_rng(0)
    features, converged = (
        reference.mean + rng.standard_normal((n, len(reference.mean))) for n in (count, TRIED)
    )
    parts = {"features": features, "sizes": np.array([count])}
    parts["endpoint"] = np.empty((0, *model.event))
    data, scale = ModelData(model, "cpu"), ScoringReference(reference, converged)
    context = CellContext(
        gather_shards([parts], count), count, data, scale, None, follows_path=False
    )
    wanted = [metric for metric in requested_metrics(names) if metric.needs <= {"features"}]
    begin = 0.0
    for _ in range(2):  # what all cells share is made the first time
        begin = time.perf_counter()
        for metric in wanted:
            metric(context)
    return (time.perf_counter() - begin) * sum(cell.samples / count for cell in cells)
