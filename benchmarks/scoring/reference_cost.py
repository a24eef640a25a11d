"""Forecast of the evaluations for references: converged endpoints, converged samples and paths."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...models.denoiser import Denoiser
from ...models.exact.base import ExactModel
from ...models.reference import Reference
from ...samplers.spec import format_spec, parse_spec
from ..sampling.batch import latents
from ..sampling.counting import Meter
from ..suites.cell import Cell
from ..suites.suite import Suite
from .converged_endpoints import (
    CONVERGED_STEPS,
    ODE,
    PATH,
    choose_endpoint_solver,
    converged_path_endpoints,
)

EXACT_FLOW = 1000
"""Expected evaluations to integrate an endpoint of an exact model; measured: 500 to 1000."""

UNTIL_CONVERGED = 1 + 2 + 4
"""Expected evaluations until convergence, in units of the first solution: steps double twice."""

STAGES = 2
"""Evaluations per step of the pathwise limit."""


class _EvaluatedError(Exception):
    """Signal that the computation of a trial endpoint has evaluated the model."""


def reference_evaluations(
    suite: Suite, model: Denoiser, reference: Reference | None, cells: Sequence[Cell]
) -> float:
    """Return the expected single-sample evaluations if no reference is stored; 0 for a map."""
    if not cells or model.kind == "map":  # a map has no reference solution
        return 0.0
    total, endpoints = 0.0, max(endpoint_count(suite, cell) for cell in cells)
    if any(not cell.sampler.stochastic for cell in cells):
        total += endpoints * evaluations_per_endpoint(model, cells[0])
        if suite.path_curvature:
            from .path_curvature import MOST, STEPS  # imported here, since few runs need them

            total += min(endpoints, MOST) * model.passes * STEPS[0]
    if converged_path_endpoints in (choose_endpoint_solver(model, cell) for cell in cells):
        total += endpoints * STAGES * UNTIL_CONVERGED * PATH.first
    if reference is not None and reference.converged is None:
        total += suite.converged_samples * CONVERGED_STEPS * model.passes
    return total


def endpoint_count(suite: Suite, cell: Cell) -> int:
    """Return the number of a cell's samples to compare with converged endpoints."""
    entry = next(e for e in suite.models if format_spec(parse_spec(e.name)) == cell.model)
    return min(cell.samples, entry.reference_samples or suite.reference_samples)


def evaluations_per_endpoint(model: Denoiser, cell: Cell) -> float:
    """Return the expected evaluations of the network for one endpoint, after a short trial."""
    if isinstance(model, ExactModel) and model.closed_form:
        return 0.0

    def stop(_rows: int) -> None:
        raise _EvaluatedError

    ids = torch.zeros(1, dtype=torch.int64, device=cell.device)
    x = latents(model, ids, cell.seed, getattr(torch, cell.dtype))[0]
    watched = Meter(tell=stop).attach(model)
    try:
        endpoint = watched.endpoint(x, model.draw_labels(ids, cell.seed))
    except _EvaluatedError:
        return EXACT_FLOW
    return 0.0 if endpoint is not None else model.passes * UNTIL_CONVERGED * ODE.first
