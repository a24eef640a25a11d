"""Reference solutions: converged endpoints of the same latents, and converged samples from other
latents.

The endpoint of a latent is a property of the model: from its own sigma_max to 0, for any grid of a
cell. Exact models know it in closed form or integrate to 1e-12; for networks the reference solver's
steps are doubled until doubling no longer matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models import Denoiser
from ...models.exact.base import ExactModel
from ...models.reference import Reference
from ...results.run_directory.run_dir import RunDir
from ...samplers import NoNoise, karras, make
from ...samplers.brownian import DEPTH, BrownianTree
from ..metrics.metric import Endpoints
from ..sampling.batch import latents
from ..sampling.failure import draw_in_batches
from ..sampling.shard import CONVERGED_IDS, clamp
from ..suites.cell import Cell, file_name
from .path_limit import SUBDIVISION, path_limit

MARGIN = 1e-5
"""An rmse below this (data units per dimension) is not resolved in float32 by any steps."""


class Doubling(NamedTuple):
    """Stopping rule for doubling the steps of a reference solution, from ``first`` to ``last``.

    Another doubling must move it by less than ``negligible`` of the smallest error in the table;
    it moves it ``gain`` times less than the last did.
    """

    first: int
    last: int
    negligible: float
    gain: float


def endpoints_by_doubling(
    run: RunDir,
    tag: str,
    solve: Callable[[int], Tensor],
    measured: Sequence[NDArray],
    rule: Doubling,
) -> Endpoints:
    """Return the first stored ``solve(steps)`` that one more doubling of the steps hardly moves."""

    def kept(steps: int) -> NDArray:
        name = f"{tag}-{steps}"
        stored = run.read_reference(name)
        if stored is None:
            stored = {"x": solve(steps).cpu().numpy()}
            run.write_reference(name, stored)
        return stored["x"]

    # from half of the most stored: references never coarsen
    first = max(rule.first, max(run.reference_steps(tag), default=0) // 2)
    return solve_by_doubling(kept, measured, rule, first)


def solve_by_doubling(
    solve: Callable[[int], NDArray], measured: Sequence[NDArray], rule: Doubling, first: int
) -> Endpoints:
    """Return the first ``solve(steps)`` that one more doubling moves little."""
    steps, previous = first, None
    while True:
        x = solve(steps)
        if previous is not None:
            resolution = _rms(x - previous) / rule.gain
            errors = [_rms(other - x[: len(other)]) for other in measured if len(other)]
            smallest = min(errors, default=np.inf)
            if resolution <= max(rule.negligible * smallest, MARGIN) or steps >= rule.last:
                return Endpoints(x, None, steps, resolution)
        previous, steps = x, 2 * steps


def _rms(difference: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


SOLVER = "dpm_solver_3m"
"""Solver of third order at one evaluation a step: the cheapest built-in way to converge."""

CONVERGED_STEPS = 64
"""Steps of converged samples of fd_conv: their error is far below a covariance's noise."""

ODE = Doubling(64, 1024, negligible=0.01, gain=4)
"""Doubling of ODE solutions; second order is assumed: the solver's third would gain 8."""

PATH = Doubling(64, 1 << (DEPTH - SUBDIVISION), negligible=0.05, gain=2)
"""Doubling of paths, whose errors are random: a twentieth adds a 400th of its square.

The order is 1.5, and at last 1: first order is assumed.
"""


def solve(
    model: Denoiser, ids: torch.Tensor, seed: int, dtype: torch.dtype, steps: int, batch: int
) -> torch.Tensor:
    """Return endpoints of the probability-flow ODE by the reference solver on karras steps."""
    grid = karras(steps, model.sigma_min, model.sigma_max)
    sampler = make(SOLVER)

    def ends(part: torch.Tensor) -> torch.Tensor:
        x = latents(model, part, seed, dtype)[0]
        return sampler.sample(model.bind(part, seed), x, grid, NoNoise())

    return draw_in_batches(ids, batch, ends)


def converged_endpoints(
    run: RunDir, model: Denoiser, cell: Cell, measured: Sequence[NDArray]
) -> Endpoints:
    """Return converged endpoints of the samples from 0 on, from the run directory if stored.

    Args:
        run: stores them.
        model: on the cell's device.
        cell: any cell of the model with these latents.
        measured: results of deterministic samplers from the same latents, each ``(k, *event)``; the
            largest k is the number of endpoints, and the smallest distance to these decides when
            the reference is converged.
    """
    count = max(map(len, measured))
    tag = file_tag(model, cell.seed, cell.dtype, count)
    ids, dtype = torch.arange(count, device=cell.device), getattr(torch, cell.dtype)
    exact = run.read_reference(f"{tag}-exact")
    if exact is None:
        labels = model.bind(ids, cell.seed).labels
        try:
            x = model.endpoint(latents(model, ids, cell.seed, dtype)[0], labels)
        except ArithmeticError as error:
            raise ValueError(
                f"model {model.name} has no endpoints to compare with: {error}"
            ) from error
        if x is not None:
            exact = {"x": x.cpu().numpy()}
            run.write_reference(f"{tag}-exact", exact)
    if exact is not None:
        return Endpoints(exact["x"], modes_of_samples(model, exact["x"], cell.device), 0, 0.0)

    def solution(steps: int) -> torch.Tensor:
        return solve(model, ids, cell.seed, dtype, steps, cell.batch_size)

    found = endpoints_by_doubling(run, tag, solution, measured, ODE)
    return replace(found, modes=modes_of_samples(model, found.x, cell.device))


def converged_path_endpoints(
    run: RunDir, model: Denoiser, cell: Cell, measured: Sequence[NDArray]
) -> Endpoints:
    """Return states of the reverse SDE at sigma_min along Brownian paths, denoised.

    This is the limit at 0 but for terms of fourth order in sigma_min. Arguments as
    :func:`converged_endpoints`.
    """
    count, seed = max(map(len, measured)), cell.seed

    def limit(steps: int) -> torch.Tensor:
        def ends(ids: torch.Tensor) -> torch.Tensor:
            bound = model.bind(ids, seed)
            tree = BrownianTree(seed, ids, model.event, model.sigma_max, model.sigma_min)
            x = latents(model, ids, seed, getattr(torch, cell.dtype))[0]
            return bound(path_limit(bound, tree, x, steps.bit_length() - 1), model.sigma_min)

        return draw_in_batches(torch.arange(count, device=cell.device), cell.batch_size, ends)

    tag = f"{file_tag(model, seed, cell.dtype, count)}-path"
    return endpoints_by_doubling(run, tag, limit, measured, PATH)


def converged_features(
    run: RunDir, model: Denoiser, reference: Reference, cell: Cell, count: int
) -> NDArray[np.float64]:
    """Return features ``(m, d)`` of converged samples: the card's, or ``count`` computed ones."""
    if reference.converged is not None:
        return reference.converged
    space = (reference.extractor.identity, run.extractor)
    name = f"{file_tag(model, cell.seed, cell.dtype, count, *space)}-converged"
    stored = run.read_reference(name)
    if stored is None:
        dtype = getattr(torch, cell.dtype)
        x = converged_samples(model, count, cell.seed, dtype, cell.batch_size, cell.device)
        stored = {"features": reference.extractor(clamp(model.decode(x), reference.clamp)[0])}
        run.write_reference(name, stored)
    return stored["features"]


def converged_samples(
    model: Denoiser, count: int, seed: int, dtype: torch.dtype, batch: int, device: str
) -> torch.Tensor:
    """Draw ``count`` converged samples of the model from latents that no run uses."""
    ids = torch.arange(CONVERGED_IDS, CONVERGED_IDS + count, device=device)
    return solve(model, ids, seed, dtype, CONVERGED_STEPS, batch)


def file_tag(model: Denoiser, *what: object) -> str:
    """Return the name of a file about a model and ``what`` else its content depends on."""
    text = repr((model.identity, model.sigma_max, model.sigma_min, *what))
    return file_name(model.name, hashlib.sha256(text.encode()).hexdigest()[:10])


def modes_of_samples(model: Denoiser, x: NDArray, device: str) -> NDArray[np.int64] | None:
    """Return modes ``(n,)`` of samples ``(n, *event)``; None where the model has none."""
    modes = model.mode_of(torch.from_numpy(x).to(device))
    return None if modes is None else modes.cpu().numpy()


Truth = Callable[..., Endpoints]
"""One of :func:`.converged_endpoints` and :func:`.converged_path_endpoints`."""


def endpoint_kind(model: Denoiser, cell: Cell) -> Truth | None:
    """Return the kind of endpoints for a cell's samples; None for samples without a limit.

    A pathwise limit takes thousands of evaluations, hence an exact denoiser, and a sampler that
    claims to converge to it. The Gaussian start follows the ODE, not the path.
    """
    if model.kind == "map":
        return None
    if not cell.sampler.stochastic:
        return converged_endpoints
    on_path = cell.noise == "brownian" and cell.start.name != "gaussian"
    claims = getattr(cell.sampler, "strong_order", None) is not None
    return (
        converged_path_endpoints if on_path and claims and isinstance(model, ExactModel) else None
    )


def endpoints_by_kind(
    run: RunDir,
    model: Denoiser,
    solved: Denoiser,
    cells: Sequence[Cell],
    whole: Callable[[Cell], NDArray],
    stage: Callable[[str], None],
) -> Mapping[Truth | None, Endpoints]:
    """Return converged endpoints of both kinds, where cells need them.

    Their required accuracy depends on the cells' own results: ``whole`` gives the samples of a cell
    that were stored whole. ``solved`` is the model with counted evaluations.
    """
    truths: dict[Truth | None, Endpoints] = {}
    for truth in (converged_endpoints, converged_path_endpoints):
        comparable = [cell for cell in cells if endpoint_kind(model, cell) is truth]
        if comparable:
            measured = [whole(cell) for cell in comparable]
            kind = "endpoints" if truth is converged_endpoints else "paths"
            count = max(map(len, measured))
            stage(f"{comparable[0].model}: converged {kind} of {count} samples")
            truths[truth] = truth(run, solved, comparable[0], measured)
    return truths
