"""Forecast of configurations' errors on a model's trajectories, to first order and without an evaluation.
It says which configurations to try first.

A fixed-grid method without noise is linear in its states and in the denoised images
(:mod:`..exports.table`). It is run on the trajectories of a probe of the model
(:mod:`samplerbench.samplers.pilot.look`). The images are known there on the exact trajectory, and the error
of the state so far changes them by the Jacobian of the denoiser. The rest has
second order in the errors, and is estimated as for ``auto`` (:mod:`samplerbench.samplers.pilot.forecast`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....samplers.pilot import Look
from ..asked.subject import Entry
from ..exports.table import Steps, steps_of

DOUBTS = (0.03, 1.0)
"""Weights of what first order leaves out. None is right everywhere: at few steps it is far too large, and
on sets of points all there is. So each ranks, and the best of the ranks counts.
"""


def ordered(look: Look, entries: Sequence[Entry]) -> list[Entry]:
    """Return configurations with the best forecasts by any measure first, and without a forecast last."""
    costs = np.array([_costs(look, entry) for entry in entries])
    ranks = np.argsort(np.argsort(costs, axis=0, kind="stable"), axis=0, kind="stable").min(1)
    ranks[~np.isfinite(costs).any(1)] = len(entries)
    return [entries[n] for n in np.argsort(ranks, kind="stable")]


def _costs(look: Look, entry: Entry) -> list[float]:
    """Return root mean squares and a geometric mean over the trajectories; infinite without a forecast."""
    grid = entry.cell.grid
    hopeless = [math.inf] * (len(DOUBTS) + 1)
    if grid is None or entry.cell.infinite or not grid.to_zero:
        return hopeless
    try:
        steps = steps_of(entry.cell.sampler, grid)
    except ValueError:  # it is no table of numbers
        return hopeless
    with np.errstate(all="ignore"):
        errors, beyond = errors_of(look, steps, grid.sigma[0] / float(look.levels[0]))
        costs = [float(np.sqrt(np.square(errors + doubt * beyond).mean())) for doubt in DOUBTS]
        costs.append(float(np.exp(np.log(errors + beyond).mean())))
    return [value if math.isfinite(value) else math.inf for value in costs]


def errors_of(
    look: Look, steps: Steps, share: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a table's errors ``(K,)`` of the denoised image at sigma_min on K trajectories, and their second order.

    Errors are root mean squares over the dimensions. First order leaves the second order out.

    Args:
        look: probe of the model.
        steps: the table.
        share: of the probe's first level, at which the grid begins.
    """
    low = float(look.levels[-1])
    levels = np.array([max(row.sigma, low) for row in steps.rows])
    d, x = look.at(levels)  # (n, K, R)
    end = look.at(np.array([low]))[0][0]
    state = share * steps.start * look.first
    images: list[NDArray[np.float64]] = []
    beyond = np.zeros(len(state))
    for i, row in enumerate(steps.rows):
        error = state - x[i]
        change = look.felt(levels[i : i + 1], error[None])[0]
        beyond += _size(change) * _size(error) / (look.dim * levels[i])
        images.append(d[i] + change)
        state = row.a * state
        for weight, image in zip(row.b, reversed(images), strict=False):
            state = state + weight * image
    return _size(state - end) / math.sqrt(look.dim), beyond


def _size(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Euclidean lengths."""
    return np.sqrt(np.square(vectors).sum(-1))
