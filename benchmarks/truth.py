"""What samples are held against: converged endpoints from the same latents, and converged samples from other latents.

The endpoint of a latent is a property of the model: from its own sigma_max to 0, whatever grid a cell uses. Exact models know it in
closed form or integrate to 1e-12; for networks the reference solver's steps are doubled until doubling no longer matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import Denoiser
from ..models.reference import Reference
from ..results.files import read_npz, write_npz
from ..results.store import RunDir
from ..samplers import NoNoise, karras, make
from .planner import file_name
from .sampling import CONVERGED_IDS, clamp, latents

SOLVER = "dpm_solver_3m"
"""Third order at one evaluation a step: the cheapest built-in way to converge."""

FIRST_STEPS, LAST_STEPS = 64, 1024
CONVERGED_STEPS = 64
"""Steps of the converged samples of fd_conv: their discretisation error is far below the noise of a covariance."""

NEGLIGIBLE = 0.01
"""The reference is converged when doubling its steps once more would move it by less than this share of the smallest rmse in the table."""

GAIN = 4
"""How much less the next doubling moves the reference than the last did: 8 at the solver's third order; second order is assumed."""

MARGIN = 1e-5
"""An rmse below this (in data units per dimension) is not resolved in float32 by any number of steps."""


@dataclass(frozen=True)
class Endpoints:
    """Converged endpoints ``x`` ``(k, *event)`` of samples 0 … k - 1, their modes (or None), and how far off they may be (RMS)."""

    x: NDArray
    modes: NDArray | None
    steps: int
    resolution: float


def solve(model: Denoiser, ids: torch.Tensor, seed: int, dtype: torch.dtype, steps: int, batch: int) -> torch.Tensor:
    """Endpoints of the probability-flow ODE by the reference solver on ``steps`` karras steps to 0."""
    grid = karras(steps, model.sigma_min, model.sigma_max)
    sampler = make(SOLVER)
    return torch.cat(
        [sampler.sample(model.bind(part, seed), latents(model, part, seed, dtype)[0], grid, NoNoise()) for part in ids.split(batch)]
    )


def endpoints(
    run: RunDir, model: Denoiser, seed: int, dtype: str, device: str, count: int, batch: int, measured: Sequence[NDArray]
) -> Endpoints:
    """Converged endpoints of samples 0 … count - 1, from the run directory if they are there.

    Args:
        run: where they are kept.
        model: on ``device``.
        seed: of the latents.
        dtype: of the state.
        device: "cpu" or "cuda".
        count: how many.
        batch: samples per batch.
        measured: what deterministic samplers made of the same latents, each ``(<= count, *event)``: the smallest distance to these decides
            when the reference is converged.
    """
    tag = _tag(model, seed, dtype, count)
    ids = torch.arange(count, device=device)
    exact = read_npz(run.reference(f"{tag}-exact"))
    if exact is None:
        bound = model.bind(ids, seed)
        x = model.endpoint(latents(model, ids, seed, getattr(torch, dtype))[0], bound.labels)
        if x is not None:
            exact = {"x": x.cpu().numpy()}
            write_npz(run.reference(f"{tag}-exact"), exact)
    if exact is not None:
        return Endpoints(exact["x"], _modes(model, exact["x"], device), 0, 0.0)

    steps, previous = _first_steps(run, tag), None
    while True:
        path = run.reference(f"{tag}-{steps}")
        stored = read_npz(path)
        if stored is None:
            stored = {"x": solve(model, ids, seed, getattr(torch, dtype), steps, batch).cpu().numpy()}
            write_npz(path, stored)
        x = stored["x"]
        if previous is not None:
            resolution = _rms(x - previous) / GAIN
            smallest = min([_rms(other - x[: len(other)]) for other in measured if len(other)], default=np.inf)
            if resolution <= max(NEGLIGIBLE * smallest, MARGIN) or steps >= LAST_STEPS:
                return Endpoints(x, _modes(model, x, device), steps, resolution)
        previous, steps = x, 2 * steps


def _first_steps(run: RunDir, tag: str) -> int:
    """Where doubling starts: half of the most steps that are stored, so that a reference never becomes coarser than it was."""
    stored = [int(path.stem.removeprefix(f"{tag}-")) for path in run.reference(tag).parent.glob(f"{tag}-[0-9]*.npz")]
    return max(FIRST_STEPS, max(stored, default=0) // 2)


def converged_features(
    run: RunDir, model: Denoiser, reference: Reference, seed: int, dtype: str, device: str, count: int, batch: int
) -> NDArray[np.float64]:
    """Features ``(m, d)`` of converged samples whose latents no run uses: the card's, or ``count`` that are computed and kept."""
    if reference.converged is not None:
        return reference.converged
    path = run.reference(f"{_tag(model, seed, dtype, count)}-converged")
    stored = read_npz(path)
    if stored is None:
        x = converged_samples(model, count, seed, getattr(torch, dtype), batch, device)
        stored = {"features": reference.extractor(clamp(x, reference.clamp)[0])}
        write_npz(path, stored)
    return stored["features"]


def converged_samples(model: Denoiser, count: int, seed: int, dtype: torch.dtype, batch: int, device: str) -> torch.Tensor:
    """``count`` converged samples of the model from latents that no run uses."""
    ids = torch.arange(CONVERGED_IDS, CONVERGED_IDS + count, device=device)
    return solve(model, ids, seed, dtype, CONVERGED_STEPS, batch)


def _tag(model: Denoiser, *what: object) -> str:
    text = repr((model.identity, model.sigma_max, model.sigma_min, *what))
    return file_name(model.name, hashlib.sha256(text.encode()).hexdigest()[:10])


def _modes(model: Denoiser, x: NDArray, device: str) -> NDArray | None:
    modes = model.mode_of(torch.from_numpy(x).to(device))
    return None if modes is None else modes.cpu().numpy()


def _rms(difference: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
