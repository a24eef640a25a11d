r"""Levels and coefficients that bring a sampler nearest to known endpoints, by least squares.

The fit needs no backward pass, so it works for any model. The free numbers z of
:class:`.FreeParameters` minimise a power mean over latents of the distance e_s = |r_s(z)| between
sample and endpoint, or their features. Power 0 is the geometric mean. r_s is nearly linear:

    r_s(z + dz) = r_s(z) + J_s dz,        J_s by differences, from one run for each free number.

With G_s = J_s' J_s and p_s = J_s' r_s, the squares of this linear model are e_s² + 2 p_s · dz + dz' G_s dz.
The mean of e_s^p is minimised by repeated least squares, with renewed weights w_s = e_s^(p-2). For p <= 2, u^(p/2)
(for power 0, log u) is concave in the square u, and lies below its tangents. So no repetition increases the mean.
Each damping of

    (sum_s w_s G_s + damping diag(...)) dz = - sum_s w_s p_s

gives a step dz of the free numbers, which is run. Some latents have no equations. They choose the best step,
and end the iterations before overfitting. Steps for power 0 are tried as well as steps for p. They give
little weight to the few latents near a boundary of the flow, where nothing is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.denoiser import Bound, Denoiser
from ...samplers import Grid, NoNoise, Sampler
from ...samplers.families.tabulated import TableRow, Tabulated
from .free_parameters import FreeParameters
from .problem import power_mean

Steps = Sequence[tuple[float, TableRow]]
"""The network's level and the coefficients of each step."""


class _Trajectory(NamedTuple):
    """Samples of one table of coefficients: state and denoised image of each step, and the ends."""

    steps: Steps
    states: Sequence[Tensor]
    images: Sequence[Tensor]
    end: Tensor


@dataclass(eq=False)
class Runs:
    """Runs of deterministic samplers from latents ``x`` ``(n, *event)``, to compare with ``ends``.

    ``ends`` are endpoints ``(n, *event)``, or with ``features`` the endpoints' features ``(n, d)``.
    The latents are at the grids' first level. If a table differs from the cached run in one step,
    only this step and later steps are run, from the cached states and images.
    """

    model: Denoiser
    ids: Tensor
    seed: int
    x: Tensor
    ends: Tensor
    batch: int
    features: Callable[[Tensor], Tensor] | None = None
    _trajectories: dict[tuple[int, int], _Trajectory] = field(default_factory=dict, repr=False)

    @torch.no_grad()
    def differences_from_ends(
        self, sampler: Sampler, grid: Grid, part: slice
    ) -> NDArray[np.float64]:
        """Return samples of the latents ``part``, or their features, minus ``ends``, ``(n, d)``."""
        ids, x = self.ids[part].split(self.batch), self.x[part].split(self.batch)
        parts = [self._samples(sampler, grid, *pair) for pair in zip(ids, x, strict=True)]
        samples = torch.cat(parts)
        samples = samples.double() if self.features is None else self.features(samples)
        differences = samples - self.ends[part].double()
        return differences.flatten(1).cpu().numpy()

    def _samples(self, sampler: Sampler, grid: Grid, ids: Tensor, x: Tensor) -> Tensor:
        bound = self.model.bind(ids, self.seed)
        if not isinstance(sampler, Tabulated):
            return sampler.sample(bound, x, grid, NoNoise())
        levels = zip(grid.sigma[:-1], sampler.table, strict=True)
        steps = [(row.level or sigma, row) for sigma, row in levels]
        key = int(ids[0]), len(ids)
        cached = self._trajectories.get(key)
        others = [i for i, step in enumerate(steps) if cached and cached.steps[i] != step]
        if cached is None or len(others) > 1:
            self._trajectories[key] = cached = _run_table(bound, steps, [x], [])
            others = []
        if not others:
            return cached.end
        first = others[0]
        # the image of this step itself is known, unless its level has changed
        count = max(len(steps[first][1].b) - (cached.steps[first][0] != steps[first][0]), 0)
        return _run_table(bound, steps, cached.states[: first + 1], cached.images[:count]).end


def _run_table(
    bound: Bound, steps: Steps, states: Sequence[Tensor], images: Sequence[Tensor]
) -> _Trajectory:
    """Run the steps of a table that cached ``states`` and ``images`` lack; return the whole run."""
    states, images = list(states), list(images)
    x = states[-1]
    for level, row in steps[len(states) - 1 :]:
        if len(images) < len(row.b):
            images.append(bound(x, level))
        x = row.a * x
        for weight, image in zip(row.b, reversed(images), strict=True):
            x = x + weight * image
        states.append(x)
    return _Trajectory(steps, states[:-1], images, x)


Floats = NDArray[np.float64]
DifferencesOf = Callable[[Sampler, Grid, slice], Floats]
"""Function (sampler, grid, slice of the latents) to samples minus their endpoints, ``(n, d)``."""

DIFFERENCE = 1e-2
"""Change of a free number in difference quotients, far above rounding in float32."""
DAMPINGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SHORT_STEPS = (1e1, 1e2, 1e3)
"""Dampings if none of :data:`DAMPINGS` gains: far from the best numbers, only short steps do."""
ITERATIONS = 12
ENOUGH = 0.003
"""Smallest relative gain of an iteration, on latents not fitted, for the fit to continue."""
RENEWED = 20
"""Number of times that the weights of latents are recomputed for one step."""
NEAREST = 0.1
"""Share of the median distance; smaller distances are weighted like it."""
ROOM = 2**26
"""Largest number of values in memory for slopes."""


@dataclass(frozen=True)
class Fit:
    """Fitted sampler and grid; errors on unfitted latents; ``ended``, False if time ran out."""

    sampler: Sampler
    grid: Grid
    before: float
    after: float
    ended: bool


class _TimeUpError(Exception):
    """Exception that ends a fit when its time is up."""


def fit(
    free: FreeParameters,
    differences_of: DifferencesOf,
    equations: int,
    power: int = 0,
    late: Callable[[], bool] = bool,
) -> Fit:
    """Fit the free numbers of a sampler to the least power mean of its distances.

    ``differences_of(sampler, grid, part)`` returns samples of the latents ``part`` minus endpoints.
    ``power`` is at most 2; 0 is the geometric mean. The first ``equations`` latents are fitted, and
    the other latents choose among the steps of the fit. If ``late()`` is True before a run, the fit
    stops with its best result.
    """
    z, ended = np.zeros(free.size), True
    choosing = slice(equations, None)

    def run(numbers: Floats, part: slice) -> Floats:
        if late():
            raise _TimeUpError
        return differences_of(free.sampler_at(numbers), free.grid(numbers), part)

    def error_of(numbers: Floats) -> float:
        if not np.isfinite(numbers).all():
            return np.inf
        return power_mean_of_rows(run(numbers, choosing), power)

    first = differences_of(free.sampler_at(z), free.grid(z), choosing)
    least = before = power_mean_of_rows(first, power)
    size = max(1, ROOM // (len(z) * first.shape[1]))
    parts = [slice(k, min(k + size, equations)) for k in range(0, equations, size)]
    try:
        for _ in range(ITERATIONS):
            linear = _linearise(run, z, parts)
            before_step = least
            for dampings in (DAMPINGS, SHORT_STEPS):
                tried = [z + _step(*linear, damping, p) for p in {0, power} for damping in dampings]
                errors = [error_of(numbers) for numbers in tried]
                if (error := min(errors)) < least:
                    least, z = error, tried[errors.index(error)]
                if gained := least < (1 - ENOUGH) * before_step:
                    break
            if not gained:
                break
    except _TimeUpError:
        ended = False
    return Fit(free.sampler_at(z), free.grid(z), before, least, ended)


def power_mean_of_rows(differences: Floats, power: int) -> float:
    """Return the power mean over rows ``(n, d)`` of their RMS; infinite if one is not finite."""
    with np.errstate(all="ignore"):
        distances = np.sqrt(np.square(differences).mean(1))
        return power_mean(distances, power) if np.isfinite(distances).all() else np.inf


def _step(squares: Floats, pulls: Floats, grams: Floats, damping: float, power: int) -> Floats:
    """Return the damped step of z to the least power mean, from the linear model of _linearise."""
    if not len(squares):
        return np.full(pulls.shape[1], np.nan)
    least = max(NEAREST**2 * float(np.median(squares)), np.finfo(float).tiny)
    moved, dz = squares, np.zeros(pulls.shape[1])
    scale: Floats | None = None
    for _ in range(RENEWED):
        weights = np.maximum(moved, least) ** (power / 2 - 1)
        curvature = np.einsum("s,sij->ij", weights, grams)
        if scale is None:
            own = np.diag(curvature)
            scale = np.maximum(own, 1e-12 * own.max(initial=1e-300))
        dz = -np.linalg.solve(curvature + damping * np.diag(scale), weights @ pulls)
        moved = squares + 2 * pulls @ dz + (grams @ dz) @ dz
    return dz


def _linearise(
    run: Callable[[Floats, slice], Floats], z: Floats, parts: Sequence[slice]
) -> tuple[Floats, Floats, Floats]:
    """Return squared distances ``(n,)``, half their slopes ``(n, p)``, and half their curvatures.

    These are at ``z`` ``(p,)``, of the n latents with finite samples. Curvatures are ``(n, p, p)``.
    """
    parts_of_model = []
    for part in parts:
        differences = run(z, part)
        slopes = np.empty((len(z), *differences.shape), dtype=np.float32)
        for k in range(len(z)):
            moved = run(z + DIFFERENCE * np.eye(len(z))[k], part)
            slopes[k] = np.nan_to_num((moved - differences) / DIFFERENCE, posinf=0, neginf=0)
        finite = np.isfinite(differences).all(1)
        by_latent, differences = slopes.transpose(1, 0, 2)[finite], differences[finite]
        pulls = np.einsum("sid,sd->si", by_latent, differences)
        grams = by_latent @ by_latent.transpose(0, 2, 1)
        parts_of_model.append((np.square(differences).sum(1), pulls, grams))
    squares, pulls, grams = (np.concatenate(part) for part in zip(*parts_of_model, strict=True))
    return squares, pulls, grams
