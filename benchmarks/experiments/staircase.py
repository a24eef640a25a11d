"""The staircase of row 3: what a sampler goes by between its predictions, above the best that is possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...models.analysis.estimate import FloatArray
from ...models.analysis.mmse_curve import Curve, gammas
from .big_steps import HIGH, LOW


def staircase(curve: Curve, at: Sequence[float], points: int = 400) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fine levels ``(points,)`` from high to low, the mean curve there, and the stair above it: mmse at the start of each step."""
    gamma = gammas(LOW, HIGH, points)
    mean = Curve(curve.gamma, curve.mean()[None])
    fine, starts = gamma**-0.5, np.asarray(at[:-1])
    place = (starts[None, :] >= fine[:, None] * (1 - 1e-9)).sum(1) - 1
    return fine, mean.at(gamma)[0], mean.at(starts**-2.0)[0][place]
