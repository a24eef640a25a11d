"""By what configurations are compared: the geometric mean of their distances, by which the race chooses, and
the root mean square, which is often that of a few latents that lie where paths part, and end elsewhere with
most samplers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]


def rmse(distances: Distances) -> float:
    """Root mean square; infinite where one is."""
    return float(np.sqrt(np.mean(np.square(distances))))


def geometric(distances: Distances) -> float:
    """Geometric mean; infinite where one is, 0 where one is and none is infinite."""
    if not np.isfinite(distances).all():
        return math.inf
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(distances).mean()))


CRITERIA: dict[str, Callable[[Distances], float]] = {"geometric mean": geometric, "rmse": rmse}
