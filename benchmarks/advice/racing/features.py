"""The features in which distributions are compared: the model's own where it has any, else its images,
pooled; of many of them the leading principal axes.

A Fréchet distance in d features needs many times d samples, which a race has not. The axes come from
half of the converged samples, and the distance is taken to the other half, so that nothing is fitted to
what it is measured on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

MOST = 32
"""Features that a distance is taken in: 480 samples are enough for intervals that hold."""
SIDE = 32
"""Pixels a side to which images are pooled, at most."""
POOLED = "pooled pixels"


class Pooled:
    """Images averaged over squares until no side is longer than :data:`SIDE`, flattened; samples that are
    no images as they are.

    Args:
        event: shape of one, as it is scored.
    """

    def __init__(self, event: tuple[int, ...]) -> None:
        self.by = max(1, math.ceil(max(event[1:]) / SIDE)) if len(event) == 3 else 1
        size = [event[0], *(math.ceil(side / self.by) for side in event[1:])]
        self.dim = math.prod(size if len(event) == 3 else event)
        self.identity = f"{POOLED} by {self.by}"

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        """Return features ``(n, d)`` of samples ``(n, *event)``."""
        pooled = functional.avg_pool2d(x, self.by, ceil_mode=True) if self.by > 1 else x
        return pooled.flatten(1).to("cpu", torch.float64).numpy()


class Axes(NamedTuple):
    """Principal axes of features, the leading first.

    Attributes:
        mean: ``(d,)``.
        axes: ``(d, k)``.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]

    def __call__(self, features: NDArray) -> NDArray[np.float64]:
        """Return coordinates ``(n, k)`` of features ``(n, d)``."""
        return (features - self.mean) @ self.axes


def leading_axes(features: NDArray, most: int = MOST) -> Axes:
    """Return the ``most`` leading axes of ``(n, d)`` features, fewer where they span less."""
    mean = features.mean(0)
    _, values, rows = np.linalg.svd(features - mean, full_matrices=False)
    count = min(most, int((values > 1e-6 * values[0]).sum())) if values[0] > 0 else 1
    return Axes(mean, rows[:count].T)
