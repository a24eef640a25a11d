"""Criteria by which configurations are compared: two means of distances over the last axis.

``advise`` chooses by the geometric mean. The root mean square is often dominated by a few latents
near a boundary between modes, which end in another mode with most samplers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]


def rmse(distances: Distances) -> Distances:
    """Return the root mean squares ``(…)`` of ``(…, latents)``; infinite if any distance is."""
    return np.sqrt(np.mean(np.square(distances), -1))


def geometric_mean(distances: Distances) -> Distances:
    """Return the geometric means ``(…)`` of ``(…, latents)``.

    A mean is infinite if any distance is, and otherwise 0 if any distance is 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.exp(np.log(distances).mean(-1))
    return np.where(np.isfinite(distances).all(-1), found, np.inf)


CRITERIA: dict[str, Callable[[Distances], Distances]] = {
    "geometric mean": geometric_mean,
    "rmse": rmse,
}
