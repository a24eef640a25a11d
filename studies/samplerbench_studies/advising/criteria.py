"""By what configurations are compared: the geometric mean of their distances, by which the race chooses, and
the root mean square, which is often that of a few latents that lie where paths part, and end elsewhere with
most samplers. Both are taken over the last axis.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]


def rmse(distances: Distances) -> Distances:
    """Return the root mean squares ``(…)`` of ``(…, latents)``; infinite where one is."""
    return np.sqrt(np.mean(np.square(distances), -1))


def geometric_mean(distances: Distances) -> Distances:
    """Return the geometric means ``(…)`` of ``(…, latents)``; infinite where one is, 0 where one is
    and none is infinite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.exp(np.log(distances).mean(-1))
    return np.where(np.isfinite(distances).all(-1), found, np.inf)


CRITERIA: dict[str, Callable[[Distances], Distances]] = {
    "geometric mean": geometric_mean,
    "rmse": rmse,
}
