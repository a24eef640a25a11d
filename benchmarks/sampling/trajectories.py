"""Samples for the pictures of a report, and trajectories of a few of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.denoiser import HALF, Denoiser
from ...models.reference import Reference
from ...samplers.types import Denoise, Pair
from ..suites.cell import Cell
from .batch import first_states_and_noise, solve_cell
from .counting import ObservedDenoiser

POINTS = 512
PANELS = 8  # number of evaluations shown, spread evenly from the first to the last
IMAGES = 2
CLOUD = 256

Trajectories = tuple[list[tuple[NDArray, NDArray, NDArray]], NDArray]
"""List of evaluations (level, x, d) in order, and the final samples; arrays ``(n, *event)``."""


def picture_count(model: Denoiser, images: int) -> int:
    """Return the number of samples that a report shows: ``images`` for a model of images.

    For 2-D points it is POINTS, or 0 if ``images`` is 0. Other samples are not shown: 0.
    """
    if len(model.decoded_event) == 3:
        return images
    return POINTS if math.prod(model.decoded_event) == 2 and images else 0


def picture_arrays(
    model: Denoiser, reference: Reference | None, x: NDArray, converged: NDArray | None = None
) -> dict[str, NDArray]:
    """Return samples ``(k, *event)`` as a report shows them: ``images`` in uint8, or ``points``.

    ``converged`` are converged samples of the same latents, in order; the first k are added by this name.
    """
    name = "images" if len(model.decoded_event) == 3 else "points"
    arrays = {name: as_report_values(model, reference, x)}
    if converged is not None and len(converged):
        arrays["converged"] = as_report_values(model, reference, converged[: len(x)])
    return arrays


def as_report_values(model: Denoiser, reference: Reference | None, x: NDArray) -> NDArray:
    """Return samples ``x`` ``(..., *event)`` decoded: uint8 images, or others as flat float32."""
    if model.decoder is not None:
        before = x.shape[: x.ndim - len(model.event)]
        latents = torch.from_numpy(x.reshape(-1, *model.event)).float()
        x = model.decode(latents).numpy().reshape(*before, *model.decoded_event)
    if len(model.decoded_event) != 3:
        return x.reshape(*x.shape[: x.ndim - len(model.decoded_event)], -1).astype(np.float32)
    low, high = display_range(reference, model.decoded_limits)
    return ((x - low) / (high - low) * 255).clip(0, 255).round().astype(np.uint8)


def display_range(
    reference: Reference | None, limits: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return black and white: the reference's clamp, its mean ± 3 stds, ``limits``, or else ± 1."""
    if reference is not None and reference.clamp is not None:
        return reference.clamp
    if reference is None or reference.moments is None:  # no moments of values
        return limits or (-1.0, 1.0)
    mean, cov = reference.moments
    center = float(mean.mean())
    spread = 3 * float(np.sqrt(np.mean(np.diag(cov) + (mean - center) ** 2)))
    return center - spread, center + spread


def trajectory_arrays(
    model: Denoiser,
    reference: Reference | None,
    cell: Cell,
    record: Callable[[int], Trajectories],
) -> dict[str, NDArray]:
    """Return the trajectories of a cell's first samples, recorded by ``record``.

    States are scaled to x s / sqrt(s² + sigma²), as large as the data at every level. Here s is the
    root mean square of ``end``.

    Returns:
        ``sigma`` (k,), levels of k <= 8 evaluations; states ``x``, denoised ``d``, and final samples ``end``, as
        :func:`as_report_values` shapes them. Empty without pictures, for a batch-coupled sampler, and after a failure.
    """
    count = min(picture_count(model, IMAGES), CLOUD)
    if not count or cell.grid is None or cell.sampler.batch_coupled:
        return {}
    try:
        evaluations, end = record(count)
    except Exception:
        return {}
    if not evaluations or not np.isfinite(end).all():
        return {}
    places = np.unique(np.linspace(0, len(evaluations) - 1, PANELS).round().astype(int))
    sigma, x, d = (np.stack([evaluations[place][part] for place in places]) for part in range(3))
    scale = float(np.square(end, dtype=np.float64).mean()) ** 0.5 or 1.0
    level = sigma.reshape(-1, *[1] * (x.ndim - 1))
    arrays = {"x": x * scale / np.sqrt(scale**2 + level**2), "d": d, "end": end}
    return {"sigma": sigma} | {
        name: as_report_values(model, reference, values) for name, values in arrays.items()
    }


@torch.no_grad()
def record_trajectories(model: Denoiser, cell: Cell, count: int) -> Trajectories:
    """Draw the first ``count`` samples of a cell; return their evaluations and the final samples.

    An evaluation at several levels, at an infinite level or of some samples only is left out.
    """
    ids = torch.arange(count, device=cell.device)
    bound = model.bind(ids, cell.seed)
    x, noise = first_states_and_noise(model, cell, ids)
    evaluations: list[tuple[NDArray, NDArray, NDArray]] = []

    def record(_denoise: Denoise, x: Tensor, sigma: float | Tensor, images: Pair) -> None:
        levels = np.unique(_to_numpy(sigma) if isinstance(sigma, Tensor) else sigma)
        if len(x) == len(ids) and len(levels) == 1 and np.isfinite(levels[0]):
            evaluations.append((levels[0], _to_numpy(x).copy(), _to_numpy(images[0]).copy()))

    end = solve_cell(cell, ObservedDenoiser(bound, record), x, noise)
    return evaluations, _to_numpy(end)


def _to_numpy(x: Tensor) -> NDArray:
    return (x.float() if x.dtype in HALF else x).cpu().numpy()
