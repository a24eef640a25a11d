"""Reference solutions: converged endpoints of the same latents, and converged samples from other
latents.

The endpoint of a latent is a property of the model: from its own sigma_max to 0, for any grid of a
cell. Exact models know it in closed form or integrate to 1e-12; for networks the reference solver's
steps are doubled until doubling no longer matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ....models import Denoiser
from ....models.reference import Reference
from ....results.run_directory.run_dir import RunDir
from ....samplers import NoNoise, karras, make
from ....samplers.brownian.tree import DEPTH, BrownianTree
from ...sampling.batch import latents
from ...sampling.failure import in_batches
from ...sampling.shard import CONVERGED_IDS, clamp
from ...suites.cell import file_name
from .doubling import Doubling, Endpoints, doubled
from .path_limit import SUBDIVISION, path_limit

SOLVER = "dpm_solver_3m"
"""Solver of third order at one evaluation a step: the cheapest built-in way to converge."""

CONVERGED_STEPS = 64
"""Steps of converged samples of fd_conv: their discretisation error is far below a covariance's
noise.
"""


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

    return in_batches(ids, batch, ends)


def endpoints(
    run: RunDir,
    model: Denoiser,
    seed: int,
    dtype: str,
    device: str,
    count: int,
    batch: int,
    measured: Sequence[NDArray],
) -> Endpoints:
    """Return converged endpoints of samples 0 … count - 1, from the run directory if stored.

    Args:
        run: stores them.
        model: on ``device``.
        seed: of the latents.
        dtype: of the state.
        device: "cpu" or "cuda".
        count: how many.
        batch: samples per batch.
        measured: results of deterministic samplers from the same latents, each ``(<= count,
            *event)``; the smallest distance to these decides when the reference is converged.
    """
    tag = tag_of(model, seed, dtype, count)
    ids = torch.arange(count, device=device)
    exact = run.read_reference(f"{tag}-exact")
    if exact is None:
        bound = model.bind(ids, seed)
        try:
            x = model.endpoint(latents(model, ids, seed, getattr(torch, dtype))[0], bound.labels)
        except ArithmeticError as error:
            raise ValueError(
                f"model {model.name} has no endpoints to compare with: {error}"
            ) from error
        if x is not None:
            exact = {"x": x.cpu().numpy()}
            run.write_reference(f"{tag}-exact", exact)
    if exact is not None:
        return Endpoints(exact["x"], _modes(model, exact["x"], device), 0, 0.0)
    solution = doubled(
        run,
        tag,
        lambda steps: solve(model, ids, seed, getattr(torch, dtype), steps, batch),
        measured,
        ODE,
    )
    return replace(solution, modes=_modes(model, solution.x, device))


def path_endpoints(
    run: RunDir,
    model: Denoiser,
    seed: int,
    dtype: str,
    device: str,
    count: int,
    batch: int,
    measured: Sequence[NDArray],
) -> Endpoints:
    """Return the pathwise limits of samples 0 … count - 1: the reverse SDE's states at sigma_min
    along their Brownian paths, denoised.

    It is the limit at 0 but for terms of fourth order in sigma_min, and exactly the step to 0 from
    the limit. Arguments as :func:`endpoints`, with ``measured`` from samplers that follow the
    paths.
    """

    def limit(steps: int) -> torch.Tensor:
        def ends(ids: torch.Tensor) -> torch.Tensor:
            bound, tree = (
                model.bind(ids, seed),
                BrownianTree(seed, ids, model.event, model.sigma_max, model.sigma_min),
            )
            x = latents(model, ids, seed, getattr(torch, dtype))[0]
            return bound(path_limit(bound, tree, x, steps.bit_length() - 1), model.sigma_min)

        return in_batches(torch.arange(count, device=device), batch, ends)

    return doubled(run, f"{tag_of(model, seed, dtype, count)}-path", limit, measured, PATH)


def converged_features(
    run: RunDir,
    model: Denoiser,
    reference: Reference,
    seed: int,
    dtype: str,
    device: str,
    count: int,
    batch: int,
) -> NDArray[np.float64]:
    """Return features ``(m, d)`` of converged samples from latents of no run: the card's, or
    ``count`` computed and stored.
    """
    if reference.converged is not None:
        return reference.converged
    name = f"{tag_of(model, seed, dtype, count, reference.extractor.identity, run.extractor)}-converged"
    stored = run.read_reference(name)
    if stored is None:
        x = converged_samples(model, count, seed, getattr(torch, dtype), batch, device)
        stored = {"features": reference.extractor(clamp(model.decode(x), reference.clamp)[0])}
        run.write_reference(name, stored)
    return stored["features"]


def converged_samples(
    model: Denoiser, count: int, seed: int, dtype: torch.dtype, batch: int, device: str
) -> torch.Tensor:
    """Draw ``count`` converged samples of the model from latents that no run uses."""
    ids = torch.arange(CONVERGED_IDS, CONVERGED_IDS + count, device=device)
    return solve(model, ids, seed, dtype, CONVERGED_STEPS, batch)


def tag_of(model: Denoiser, *what: object) -> str:
    """Return the name of a file about a model and ``what`` else its content depends on."""
    text = repr((model.identity, model.sigma_max, model.sigma_min, *what))
    return file_name(model.name, hashlib.sha256(text.encode()).hexdigest()[:10])


def _modes(model: Denoiser, x: NDArray, device: str) -> NDArray | None:
    modes = model.mode_of(torch.from_numpy(x).to(device))
    return None if modes is None else modes.cpu().numpy()
