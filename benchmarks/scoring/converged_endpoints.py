"""Reference solutions: endpoints of a run's latents, and converged samples from other latents.

The endpoint of a latent depends on the model alone, not on a cell's grid. Its path goes from the
model's sigma_max to 0. Exact models have a closed form, or integrate to their ``tolerance``.
For networks the steps of a reference solver are doubled until the endpoints hardly move.

A reverse SDE has an end for each Brownian path. In y = x / sigma^2 and tau = 1 / sigma^2 it is
dy = d dtau + dW (``samplers.brownian``). For such additive noise SRA1 of Rössler 2010
(doi:10.1137/09076636X, section 5) has strong order 1.5:

    y <- y + h (f_1 + 2 f_2) / 3 + W_nxt - W_cur,    f_1 = d(x, cur),    f_2 = d at tau + 3 h / 4 and y + 3 h f_1 / 4 + 3 J / (2 h),

with J the integral of W - W_cur over the step, a trapezoidal sum over finer levels of the path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models import Denoiser
from ...models.denoiser import HALF
from ...models.exact.base import ExactModel
from ...models.reference import Reference
from ...results.run_directory.run_dir import RunDir
from ...samplers import Denoise, NoNoise, karras, make
from ...samplers.brownian import DEPTH, BrownianTree
from ..metrics.metric import Endpoints
from ..sampling.batch import latents
from ..sampling.counting import Metered
from ..sampling.failure import draw_in_batches
from ..sampling.shard import CONVERGED_IDS, clamp
from ..suites.cell import Cell, file_name

ROUNDING, ROUNDING_64 = 1e-5, 1e-9
"""RMS errors below which more steps gain nothing, as shares of the endpoints' spread; in float64."""


class Doubling(NamedTuple):
    """Rule to double the steps of a reference solution, from ``first``, until it is accurate.

    Its error is estimated as the RMS change by the last doubling, divided by ``gain``. Doubling
    ends once the error is at most ``negligible`` times the RMS distance of the closest sampler's
    samples to the solution, or is rounding. It ends at ``last`` steps in any case.
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
    """Return endpoints by :func:`solve_by_doubling`; every solution is stored in ``run``.

    File names are ``tag`` and the steps. Doubling restarts at half of the most steps stored.
    """

    def stored_solution(steps: int) -> NDArray:
        name = f"{tag}-{steps}"
        stored = run.read_reference(name)
        if stored is None:
            stored = {"x": solve(steps).cpu().numpy()}
            run.write_reference(name, stored)
        return stored["x"]

    # begin at half of the most steps stored, so that references never coarsen
    first = max(rule.first, max(run.reference_steps(tag), default=0) // 2)
    return solve_by_doubling(stored_solution, measured, rule, first)


def solve_by_doubling(
    solve: Callable[[int], NDArray], measured: Sequence[NDArray], rule: Doubling, first: int
) -> Endpoints:
    """Return endpoints ``solve(steps)``; ``steps`` is doubled from ``first`` until ``rule`` is met.

    ``measured`` are arrays ``(k, *event)``, each with a sampler's samples of the same latents. In
    ``rule`` the array closest to the solution counts. ``modes`` of the result is None.
    """
    steps, previous = first, None
    while True:
        x = solve(steps)
        if previous is not None:
            resolution = _rms(x - previous) / rule.gain
            errors = [_rms(other - x[: len(other)]) for other in measured if len(other)]
            smallest = min(errors, default=np.inf)
            rounding = ROUNDING_64 if x.dtype == np.float64 else ROUNDING
            rounding *= _rms(x - x.mean(axis=0)) or _rms(x)
            if resolution <= max(rule.negligible * smallest, rounding) or steps >= rule.last:
                return Endpoints(x, None, steps, resolution)
        previous, steps = x, 2 * steps


def _rms(difference: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


SUBDIVISION = 4
"""log2 of the number of pieces of a step in the sum J, which leave a 16th of J's uncertainty."""
PIECES = 1 << SUBDIVISION
BLOCK = 1 << 23
"""Most values of a Brownian path in memory (64 MiB), unless a single step needs more."""

SOLVER = "dpm_solver_3m"
"""Reference solver, of third order with one evaluation a step: the cheapest to converge."""

CONVERGED_STEPS = 64
"""Steps of converged samples for fd_conv; their error is far below the noise of a covariance."""

ODE = Doubling(64, 1024, negligible=0.01, gain=4)
"""Rule for ODE solutions; ``gain`` assumes second order, though the solver has third."""

PATH = Doubling(64, 1 << (DEPTH - SUBDIVISION), negligible=0.05, gain=2)
"""Rule for path limits; ``gain`` assumes first order. An error of 1/20 adds 1/400 to squares."""


def solve(
    model: Denoiser, ids: torch.Tensor, seed: int, dtype: torch.dtype, steps: int, batch: int
) -> torch.Tensor:
    """Return ODE endpoints ``(n, *event)`` for the latents of samples ``ids`` ``(n,)``.

    The reference solver takes ``steps`` karras steps to 0, for ``batch`` samples at a time.
    """
    grid = karras(steps, model.sigma_min, model.sigma_max)
    sampler = make(SOLVER)
    network = model.inner if isinstance(model, Metered) else model
    if isinstance(network, ExactModel):  # in any batch the same bits: whole chunks are fastest
        batch = network.chunk * -(-batch // network.chunk)

    def ends(part: torch.Tensor) -> torch.Tensor:
        x = latents(model, part, seed, dtype)[0]
        return sampler.sample(model.bind(part, seed), x, grid, NoNoise())

    return draw_in_batches(ids, batch, ends)


def converged_endpoints(
    run: RunDir, model: Denoiser, cell: Cell, measured: Sequence[NDArray]
) -> Endpoints:
    """Return converged ODE endpoints of latents 0, 1, …, from the run directory if stored there.

    ``cell`` is any cell of ``model`` with these latents, on the same device. ``measured`` are
    arrays of samples ``(k, *event)`` of deterministic samplers from the same latents. The largest k
    is the number of endpoints; the smallest error sets the required accuracy. Raises a ValueError
    if an exact model cannot compute its endpoints.
    """
    count = max(map(len, measured))
    dtype, tag = reference_dtype(model, cell), reference_tag(model, cell, count)
    ids = torch.arange(count, device=cell.device)
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
    """Return converged endpoints of the reverse SDE along the Brownian paths of samples 0, 1, ….

    The endpoints are denoised states at sigma_min. They differ from the limit at 0 by terms of
    fourth order in sigma_min. For the arguments see :func:`converged_endpoints`.
    """
    count, seed = max(map(len, measured)), cell.seed

    def limit(steps: int) -> torch.Tensor:
        def ends(ids: torch.Tensor) -> torch.Tensor:
            bound = model.bind(ids, seed)
            tree = BrownianTree(seed, ids, model.event, model.sigma_max, model.sigma_min)
            x = latents(model, ids, seed, reference_dtype(model, cell))[0]
            return bound(path_limit(bound, tree, x, steps.bit_length() - 1), model.sigma_min)

        return draw_in_batches(torch.arange(count, device=cell.device), cell.batch_size, ends)

    tag = f"{reference_tag(model, cell, count)}-path"
    return endpoints_by_doubling(run, tag, limit, measured, PATH)


def converged_features(
    run: RunDir, model: Denoiser, reference: Reference, cell: Cell, count: int
) -> NDArray[np.float64]:
    """Return features ``(m, d)`` of converged samples: ``reference``'s, or of ``count`` new ones.

    New ones start from latents that no run uses; their features are stored in ``run``.
    """
    if reference.converged is not None:
        return reference.converged
    tag = reference_tag(model, cell, count, reference.extractor.identity, run.extractor)
    name = f"{tag}-converged"
    stored = run.read_reference(name)
    if stored is None:
        dtype = reference_dtype(model, cell)
        x = converged_samples(model, count, cell.seed, dtype, cell.batch_size, cell.device)
        stored = {"features": reference.extractor(clamp(model.decode(x), reference.clamp)[0])}
        run.write_reference(name, stored)
    return stored["features"]


def converged_samples(
    model: Denoiser, count: int, seed: int, dtype: torch.dtype, batch: int, device: str
) -> torch.Tensor:
    """Return ``count`` converged samples ``(count, *event)`` from latents that no run uses."""
    ids = torch.arange(CONVERGED_IDS, CONVERGED_IDS + count, device=device)
    return solve(model, ids, seed, dtype, CONVERGED_STEPS, batch)


def reference_dtype(model: Denoiser, cell: Cell) -> torch.dtype:
    """Return the dtype of reference solutions: the cell's, or the model's for a 16-bit cell."""
    dtype = getattr(torch, cell.dtype)
    return model.dtype if dtype in HALF else dtype


def reference_tag(model: Denoiser, cell: Cell, *what: object) -> str:
    """Return the :func:`file_tag` of reference solutions for a cell's seed and dtype."""
    dtype = str(reference_dtype(model, cell)).removeprefix("torch.")
    return file_tag(model, cell.seed, dtype, *what)


def file_tag(model: Denoiser, *what: object) -> str:
    """Return a file name: the model's name and a hash of its identity, sigma range and ``what``."""
    text = repr((model.identity, model.sigma_max, model.sigma_min, *what))
    return file_name(model.name, hashlib.sha256(text.encode()).hexdigest()[:10])


def modes_of_samples(model: Denoiser, x: NDArray, device: str) -> NDArray[np.int64] | None:
    """Return modes ``(n,)`` of samples ``(n, *event)``; None for a model without modes."""
    modes = model.mode_of(torch.from_numpy(x).to(device))
    return None if modes is None else modes.cpu().numpy()


EndpointSolver = Callable[..., Endpoints]
"""Function :func:`.converged_endpoints` or :func:`.converged_path_endpoints`."""


def choose_endpoint_solver(model: Denoiser, cell: Cell) -> EndpointSolver | None:
    """Return the function that computes a cell's endpoints; None if its samples have no limit.

    Deterministic samplers converge to the ODE's end; few-step maps do not converge. Stochastic
    samplers with a strong order converge along Brownian paths. Their cell needs "brownian" noise
    and a start other than "gaussian", which follows the ODE. Their limit takes thousands of
    evaluations, so the model must be exact.
    """
    if model.kind == "map":
        return None
    if not cell.sampler.stochastic:
        return converged_endpoints
    on_path = cell.noise == "brownian" and cell.start.name != "gaussian"
    converges = on_path and cell.sampler.strong_order is not None
    return converged_path_endpoints if converges and isinstance(model, ExactModel) else None


def path_limit(denoise: Denoise, tree: BrownianTree, x: Tensor, log2_steps: int) -> Tensor:
    """Return the reverse SDE's float64 states at ``tree.sigma_floor`` along the paths of ``tree``.

    ``x`` ``(batch, *event)`` are the states at ``tree.sigma_max``. There are 2^log2_steps steps,
    evenly spaced in log sigma; log2_steps is at most DEPTH - SUBDIVISION.
    """
    fine = log2_steps + SUBDIVISION
    coarse = next(c for c in range(fine + 1) if c == log2_steps or x.numel() << (fine - c) <= BLOCK)
    y = x.double() / tree.sigma_max**2
    for k in range(1 << coarse):
        levels, path = tree.levels(k, coarse, fine), tree.block(k, coarse, fine)
        for i in range(0, len(levels) - 1, PIECES):
            y = _step(denoise, y, levels[i : i + PIECES + 1], path[i : i + PIECES + 1])
    return y * tree.sigma_floor**2


def _step(denoise: Denoise, y: Tensor, levels: list[float], path: Tensor) -> Tensor:
    """Return y after one SRA1 step; ``path`` has the Brownian path at the step's ``levels``."""
    path = path - path[0]
    clock = torch.tensor(levels, dtype=torch.float64, device=y.device) ** -2
    area = torch.trapezoid(path, clock, dim=0)
    start, h = float(clock[0]), float(clock[-1] - clock[0])
    first = denoise(y / start, start**-0.5)
    inner = start + 0.75 * h
    second = denoise((y + 0.75 * h * first + 1.5 / h * area) / inner, inner**-0.5)
    return y + h / 3 * (first + 2 * second) + path[-1]
