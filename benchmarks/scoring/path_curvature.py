"""Curvature of a model's ODE paths from the first latents, measured once per run."""

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
from ...models.reference import FloatArray
from ...results.run_directory.run_dir import RunDir
from ...results.terminal.path_curvature import KEY
from ...samplers import Grid, NoNoise, karras, make
from ..sampling.batch import latents
from ..sampling.shard import Arrays
from ..suites.cell import Cell, moments_of
from .converged_endpoints import SOLVER, reference_dtype, reference_tag


@dataclass(frozen=True, eq=False)
class FollowedPaths:
    """Paths of n samples with D values each, at k nodes, where the model was evaluated.

    Attributes:
        sigma: levels of the nodes ``(k,)``, falling, > 0.
        x, d: states and denoised images at the nodes, ``(k, n, D)``.
        end: ends of the paths at level 0, ``(n, D)``.
    """

    sigma: FloatArray
    x: FloatArray
    d: FloatArray
    end: FloatArray

    @property
    def dim(self) -> int:
        """Number of values of a sample, D."""
        return self.end.shape[-1]


def follow_paths(
    denoise: Callable[[Tensor, float], Tensor], x: Tensor, grid: Grid
) -> FollowedPaths:
    """Return the ODE paths from ``x`` ``(n, *event)`` on a grid to 0; each node starts a step."""
    evaluations: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, sigma: float) -> Tensor:
        d = denoise(x, sigma)
        evaluations.append((x.clone(), d))
        return d

    end = make(SOLVER).sample(watched, x, grid, NoNoise())  # pyright: ignore[reportArgumentType]
    states, images = (
        _flatten_to_numpy(torch.stack(part), 2) for part in zip(*evaluations, strict=True)
    )
    return FollowedPaths(np.array(grid.sigma[:-1]), states, images, _flatten_to_numpy(end, 1))


def arc_length(path: FollowedPaths, unit: float, every: int = 1) -> FloatArray:
    """Return the arc length ``(nodes, n)`` of the denoised image d up to each node.

    The polygon has each ``every``-th node and the last. Lengths are divided by ``unit`` sqrt(D).
    """
    nodes = np.unique([*range(0, len(path.sigma), every), len(path.sigma) - 1])
    steps = np.linalg.norm(np.diff(path.d[nodes], axis=0), axis=-1)
    return np.concatenate([np.zeros_like(steps[:1]), np.cumsum(steps, 0)]) / (unit * path.dim**0.5)


def one_step_error(path: FollowedPaths, unit: float) -> FloatArray:
    """Return the error ``(n,)`` of one Euler step, first node to 0, divided by ``unit`` sqrt(D)."""
    return np.linalg.norm(path.end - path.d[0], axis=-1) / (unit * path.dim**0.5)


def largest_deviation(path: FollowedPaths, unit: float) -> FloatArray:
    """Return each path's largest distance ``(n,)`` to its chord, divided by ``unit`` sqrt(D)."""
    chord, away = path.x[0] - path.end, path.x - path.end
    along = (away * chord).sum(-1, keepdims=True) / np.square(chord).sum(-1, keepdims=True)
    return np.linalg.norm(away - along * chord, axis=-1).max(0) / (unit * path.dim**0.5)


def straightness(path: FollowedPaths, unit: float) -> FloatArray:
    """Return the mean squared deviation ``(n,)`` of dy/dt from its mean; 0 for straight paths.

    Here y = x / (unit + sigma) is the path in units of the data, and t = sigma / (unit + sigma).
    """
    from scipy.integrate import trapezoid  # imported here, since few runs need it

    sigma = path.sigma[:, None, None]
    t = path.sigma / (unit + path.sigma)
    slope = (path.x - path.d) / sigma - path.d / unit
    chord = (path.x[0] / (unit + path.sigma[0]) - path.end / unit) / t[0]
    squares = np.square(slope - chord).mean(-1)
    whole = np.concatenate([squares, squares[-1:]])  # the last slope holds until 0
    return trapezoid(whole[::-1], np.append(t, 0.0)[::-1], axis=0) / t[0]


def _flatten_to_numpy(x: Tensor, axis: int) -> FloatArray:
    return x.flatten(axis).double().cpu().numpy()


MOST = 64
"""Largest number of latents to follow."""
BANDS = 16
"""Number of bands of the profile, of equal width in lam = -log sigma, sigma_max to sigma_min."""
STEPS = (64, 128, 256, 512)
NEGLIGIBLE = 0.005
"""Share of the arc length that more steps may add when the doubling of steps stops."""

_VERSION = 2  # raised when the same latents would give other numbers
_NUMBERS = 1 << 24  # most values of followed paths in memory at once


def store_curvature(run: RunDir, model: Denoiser, cell: Cell, ends: NDArray) -> None:
    """Measure the curvature of a model's paths, unless stored, and summarise it in ``run.json``.

    ``ends`` ``(n, *event)`` are the endpoints of latents 0 … n - 1. At most :data:`MOST` paths are
    followed. If a value is not finite, nothing is written into ``run.json``.
    """
    count = min(len(ends), MOST)
    name = f"{reference_tag(model, cell, count)}-curvature-v{_VERSION}"
    arrays = run.read_reference(name)
    if arrays is None:
        ids, dtype = torch.arange(count, device=cell.device), reference_dtype(model, cell)
        unit = data_spread(model, ends)
        arrays = converged_curvature(model, ids, cell.seed, dtype, cell.batch_size, unit)
        run.write_reference(name, arrays)
    if all(np.isfinite(values).all() for values in arrays.values()):
        about: dict[str, Any] = run.read_run()
        summaries = {**(about.get(KEY) or {}), cell.model: curvature_summary(arrays)}
        run.write_run({**about, KEY: summaries})


@torch.no_grad()
def converged_curvature(
    model: Denoiser, ids: torch.Tensor, seed: int, dtype: torch.dtype, batch: int, unit: float
) -> Arrays:
    """Return :func:`curvature_arrays` at the first of :data:`STEPS` with small ``missing``, or the last."""
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
    """Return measures of the curvature of each sample's ODE path, by name.

    Paths have ``steps`` >= 2 karras steps to 0. ``sigma`` (17,) are falling levels, and ``way``
    (n, 17) is the arc length of d from sigma_max to each. ``missing`` (n,) is the estimated length
    that more steps would add. ``jump`` (:func:`one_step_error`), ``deviation``
    (:func:`largest_deviation`) and ``straightness`` are (n,). ``steps`` and ``unit`` are included.
    """
    grid = karras(steps, model.sigma_min, model.sigma_max)
    edges = np.geomspace(model.sigma_max, model.sigma_min, BANDS + 1)
    parts = []
    for part in ids.split(max(1, min(batch, _NUMBERS // (steps * math.prod(model.event))))):
        x = latents(model, part, seed, dtype)[0]
        path = follow_paths(model.bind(part, seed), x, grid)
        lengths, lam = arc_length(path, unit), -np.log(path.sigma)
        values: Arrays = {
            "way": np.stack([np.interp(-np.log(edges), lam, row) for row in lengths.T]),
            # the error of a polygon's length is of second order in its sides
            "missing": (lengths[-1] - arc_length(path, unit, every=2)[-1]) / 3,
            "jump": one_step_error(path, unit),
            "deviation": largest_deviation(path, unit),
            "straightness": straightness(path, unit),
        }
        parts.append(values)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"sigma": edges, "steps": np.array(steps), "unit": np.array(unit), **whole}


def curvature_summary(arrays: Arrays) -> dict[str, Any]:
    """Return :func:`curvature_arrays` averaged over samples, by name.

    Returns:
        ``curvature`` (arc length of d), ``jump``, ``deviation`` and ``straightness``, each with a
        standard error ``_se`` (None for one sample). ``resolution`` is the mean of ``missing``.
        ``half`` has the levels at 1/4 and 3/4 of the arc. ``profile`` is the arc length per unit
        of lam = -log sigma, between levels ``edges``. ``samples`` is the number of samples;
        ``steps`` and ``unit`` are copied.
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
    """Return the RMS standard deviation of the data, if known, else of ``ends``; 1 if it is 0."""
    moments, rows = moments_of(model), ends.reshape(len(ends), -1).astype(np.float64)
    if moments is None:
        return float(np.sqrt(rows.var(0).mean())) or 1.0
    # one mean, or one of each class; the covariance is within classes
    means = np.asarray(moments[0], float).reshape(-1, rows.shape[1])
    weights = model.class_weights if len(means) > 1 else None
    away = np.square(means - np.average(means, 0, weights)).sum(1)
    between = np.average(away, weights=weights)
    return float(np.sqrt((np.trace(moments[1]) + between) / rows.shape[1])) or 1.0
