"""What a step of ancestral sampling costs in path divergence: the area between a stair and the
MMSE curve under it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .search import Matrix


def staircase_costs(
    levels: Sequence[float], mmse: NDArray[np.float64], integral: NDArray[np.float64]
) -> Matrix:
    """The divergence in nats that a step of ``ddpm`` from one level to another adds (derived in
    ``models.analysis.path_kl``).

        c_ij = 1/2 int_{gamma_i}^{gamma_j} [mmse(gamma_i) - mmse(gamma)] dgamma   for i < j, 0 elsewhere,   gamma = 1 / sigma²

    Args:
        levels: sigma_i > 0, falling, ``(m,)``.
        mmse: mmse(gamma_i), ``(m,)``, falling.
        integral: int mmse dgamma from gamma_0 to gamma_i, ``(m,)``.

    Returns:
        ``(m, m)``.

    Raises:
        ValueError: lengths that differ.
    """
    if not len(levels) == len(mmse) == len(integral):
        raise ValueError(
            "one mmse and one integral a level are needed, got "
            f"{len(levels)}, {len(mmse)} and {len(integral)}"
        )
    gamma = np.asarray(levels, dtype=np.float64) ** -2
    stair = np.asarray(mmse)[:, None] * (gamma[None, :] - gamma[:, None])
    cost = 0.5 * (stair - (np.asarray(integral)[None, :] - np.asarray(integral)[:, None]))
    return np.triu(cost.clip(min=0), k=1)  # the smallest areas round to either side of 0
