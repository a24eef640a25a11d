"""Curvature of a model's trajectories from the latents of ``rmse``: measured once a run directory,
summarised in ``run.json``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.denoiser import Denoiser
from ...results.run_directory.run_dir import RunDir
from ...results.terminal.path_curvature import KEY
from ...samplers import Grid, NoNoise, karras, make
from ..sampling.batch import latents
from ..suites.cell import Cell, moments_of
from .endpoints import file_tag

SOLVER = "dpm_solver_3m"
"""Solver of third order, at one evaluation a node."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FollowedPaths:
    """Paths of ``n`` samples.

    Attributes:
        sigma: ``(k,)`` levels of the nodes, falling, > 0.
        x, d: ``(k, n, D)`` states and denoised images there.
        end: ``(n, D)`` ends, at 0.
    """

    sigma: FloatArray
    x: FloatArray
    d: FloatArray
    end: FloatArray

    @property
    def dim(self) -> int:
        """Number of dimensions D."""
        return self.end.shape[-1]


def follow_paths(
    denoise: Callable[[Tensor, float], Tensor], x: Tensor, grid: Grid
) -> FollowedPaths:
    """Follow paths from ``x`` at the first level of a grid to 0, one evaluation a step."""
    evaluations: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, sigma: float) -> Tensor:
        d = denoise(x, sigma)
        evaluations.append((x.clone(), d))
        return d

    end = make(SOLVER).sample(watched, x, grid, NoNoise())  # pyright: ignore[reportArgumentType]
    states, images = (_flat(torch.stack(part), 2) for part in zip(*evaluations, strict=True))
    return FollowedPaths(np.array(grid.sigma[:-1]), states, images, _flat(end, 1))


def arc_length(path: FollowedPaths, unit: float, every: int = 1) -> FloatArray:
    """Return the arc length of d's polygon at every ``every``-th node and the last, in ``unit``."""
    nodes = np.unique([*range(0, len(path.sigma), every), len(path.sigma) - 1])
    steps = np.linalg.norm(np.diff(path.d[nodes], axis=0), axis=-1)
    return np.concatenate([np.zeros_like(steps[:1]), np.cumsum(steps, 0)]) / (unit * path.dim**0.5)


def one_step_error(path: FollowedPaths, unit: float) -> FloatArray:
    """Return the error of one Euler step to 0, ``(n,)``, in ``unit`` per root dimension."""
    return np.linalg.norm(path.end - path.d[0], axis=-1) / (unit * path.dim**0.5)


def largest_deviation(path: FollowedPaths, unit: float) -> FloatArray:
    """Return the largest distance from the chord, ``(n,)``, in ``unit`` per root dimension."""
    chord, away = path.x[0] - path.end, path.x - path.end
    along = (away * chord).sum(-1, keepdims=True) / np.square(chord).sum(-1, keepdims=True)
    return np.linalg.norm(away - along * chord, axis=-1).max(0) / (unit * path.dim**0.5)


def straightness(path: FollowedPaths, unit: float) -> FloatArray:
    """Return the mean square of y' less the chord's slope over time, ``(n,)``; 0 is straight."""
    from scipy.integrate import trapezoid  # here: few runs have a use for it

    sigma = path.sigma[:, None, None]
    t = path.sigma / (unit + path.sigma)
    slope = (path.x - path.d) / sigma - path.d / unit
    chord = (path.x[0] / (unit + path.sigma[0]) - path.end / unit) / t[0]
    squares = np.square(slope - chord).mean(-1)
    whole = np.concatenate([squares, squares[-1:]])  # from the last node to 0 the slope stays
    return trapezoid(whole[::-1], np.append(t, 0.0)[::-1], axis=0) / t[0]


def _flat(x: Tensor, axis: int) -> FloatArray:
    return x.flatten(axis).double().cpu().numpy()


MOST = 64
"""Largest number of latents to follow."""
BANDS = 16
"""Bands of equal width in lam, from sigma_max to sigma_min, of the profile."""
STEPS = (64, 128, 256, 512)
NEGLIGIBLE = 0.005
"""Steps are doubled until the polygon would grow by less than this share with more."""

_VERSION = 1  # raised when the same latents would give other numbers
_NUMBERS = 1 << 24  # of a path that are held at once

Arrays = dict[str, NDArray]


def store_curvature(run: RunDir, model: Denoiser, cell: Cell, ends: NDArray) -> None:
    """Measure the curvature of a model's trajectories, unless stored, for ``run.json``.

    A path that is not finite has no summary. At most :data:`MOST` ``ends`` are followed again.
    """
    count = min(len(ends), MOST)
    name = f"{file_tag(model, cell.seed, cell.dtype, count)}-curvature-v{_VERSION}"
    arrays = run.read_reference(name)
    if arrays is None:
        ids, dtype = torch.arange(count, device=cell.device), getattr(torch, cell.dtype)
        unit = data_spread(model, ends)
        arrays = converged_curvature(model, ids, cell.seed, dtype, cell.batch_size, unit)
        run.write_reference(name, arrays)
    if all(np.isfinite(values).all() for values in arrays.values()):
        about: dict[str, Any] = run.run()
        summaries = {**(about.get(KEY) or {}), cell.model: curvature_summary(arrays)}
        run.write_run({**about, KEY: summaries})


@torch.no_grad()
def converged_curvature(
    model: Denoiser, ids: torch.Tensor, seed: int, dtype: torch.dtype, batch: int, unit: float
) -> Arrays:
    """Run :func:`curvature_arrays` on so many steps that more would change it little."""
    arrays: Arrays = {}
    for steps in STEPS:
        arrays = curvature_arrays(model, ids, seed, dtype, batch, unit, steps)
        # in this form, values that are not finite end the loop
        if not arrays["missing"].mean() > NEGLIGIBLE * arrays["way"][:, -1].mean():
            break
    return arrays


def curvature_arrays(
    model: Denoiser,
    ids: torch.Tensor,
    seed: int,
    dtype: torch.dtype,
    batch: int,
    unit: float,
    steps: int,
) -> Arrays:
    """Return single samples' values on ``steps`` >= 2 karras steps to 0.

    They are ``sigma`` (17,), the falling edges of bands; ``way`` (n, 17), the arc length of d from
    sigma_max to each; ``missing`` (n,), the growth of the last with more steps; ``jump``,
    ``deviation`` and ``straightness`` (n,); ``steps`` and ``unit``.
    """
    grid = karras(steps, model.sigma_min, model.sigma_max)
    edges = np.geomspace(model.sigma_max, model.sigma_min, BANDS + 1)
    parts = []
    for part in ids.split(max(1, min(batch, _NUMBERS // (steps * math.prod(model.event))))):
        x = latents(model, part, seed, dtype)[0]
        parts.append(_curvature_values(follow_paths(model.bind(part, seed), x, grid), unit, edges))
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"sigma": edges, "steps": np.array(steps), "unit": np.array(unit), **values}


def curvature_summary(arrays: Arrays) -> dict[str, Any]:
    """Return means over latents with their standard errors (None for a single one), and the levels
    of the curvature.

    Returns:
        ``curvature``, ``jump``, ``deviation``, ``straightness``, each with ``_se``; ``resolution``,
        the curvature between the steps; ``half``, the levels about its middle half; ``profile``,
        its density in lam in each band, between the ``edges``; ``samples``, ``steps``, ``unit``.
    """
    whole = {"curvature": arrays["way"][:, -1]} | {
        name: arrays[name] for name in ("jump", "deviation", "straightness")
    }
    record: dict[str, Any] = {}
    for name, values in whole.items():
        se = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
        record |= {name: float(values.mean()), f"{name}_se": se}
    lengths, lam = arrays["way"].mean(0), -np.log(arrays["sigma"])
    return record | {
        "resolution": float(arrays["missing"].mean()),
        "half": [
            float(np.exp(-np.interp(share * lengths[-1], lengths, lam))) for share in (0.25, 0.75)
        ],
        "profile": (np.diff(lengths) / np.diff(lam)).tolist(),
        "edges": arrays["sigma"].tolist(),
        "samples": len(arrays["way"]),
        "steps": int(arrays["steps"]),
        "unit": float(arrays["unit"]),
    }


def data_spread(model: Denoiser, ends: NDArray) -> float:
    """Return the RMS standard deviation of the data, or of the ``ends``; 1 for constant data."""
    moments, rows = moments_of(model), ends.reshape(len(ends), -1).astype(np.float64)
    if moments is None:
        return float(np.sqrt(rows.var(0).mean())) or 1.0
    # one, or one a class, about which the covariance is
    means = np.asarray(moments[0], float).reshape(-1, rows.shape[1])
    between = np.square(means - means.mean(0)).sum(1).mean()
    return float(np.sqrt((np.trace(moments[1]) + between) / rows.shape[1])) or 1.0


def _curvature_values(path: FollowedPaths, unit: float, edges: FloatArray) -> Arrays:
    lengths_at_nodes = arc_length(path, unit)
    lam = -np.log(path.sigma)
    lengths = np.stack([np.interp(-np.log(edges), lam, row) for row in lengths_at_nodes.T])
    # a polygon's length is of second order in its sides
    missing = (lengths_at_nodes[-1] - arc_length(path, unit, every=2)[-1]) / 3
    return {
        "way": lengths,
        "missing": missing,
        "jump": one_step_error(path, unit),
        "deviation": largest_deviation(path, unit),
        "straightness": straightness(path, unit),
    }
