"""The highest finite level of a process, and the nearest entries of a table."""

import math

import numpy as np
from numpy.typing import NDArray

from .process import FloatArray, Process

CAP = 1e4
"""Highest noise level to sample from, for a model whose highest level is infinite."""


def highest_finite_level(process: Process, sigma_max: float) -> float:
    """Return ``sigma_max``; if infinite, :data:`CAP` or a table's last finite level, the lower."""
    if math.isfinite(sigma_max):
        return sigma_max
    levels = [s for s in getattr(process, "levels", ()) if math.isfinite(s)]
    return min([CAP, *levels[-1:]])


def nearest_indices(choices: FloatArray, wanted: FloatArray) -> NDArray[np.intp]:
    """Return the index in rising ``choices`` of the number nearest to each ``wanted``."""
    after = np.searchsorted(choices, wanted).clip(1, len(choices) - 1)
    return np.where(wanted - choices[after - 1] <= choices[after] - wanted, after - 1, after)
