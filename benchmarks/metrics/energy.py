r"""Energy distance between two sets, from distances within and between them.

    D = 2 E|X - Y| - E|X - X'| - E|Y - Y'|  >= 0,  0 for equal distributions only

(Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018, eq. 2.1), with the Euclidean norm of
features. D is the squared maximum mean discrepancy of the kernel -|x - y| (Sejdinovic et al. 2013,
arXiv:1207.6076, theorem 22). Estimate, error and interval are as in :mod:`.kernel`. The estimate is
unbiased, needs no kernel width, and needs no moments beyond the first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...results.quantities.built_in import ENERGY
from .estimators.rows import FloatArray, as_rows
from .kernel import SMALLEST, Kernel, KernelEstimate, estimate_squared_mmd, measure_against_held_out
from .metric import Context, Measured, metric

MOST = 5_000
"""Largest number of samples of a side that are compared; the first samples are taken."""


def _minus_distance(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the kernel matrix -|x_i - y_j|, ``(n, m)``, of rows x_i and y_j."""
    squares = np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y) - 2 * (x @ y.T)
    return -np.sqrt(np.maximum(squares, 0.0))


MINUS_DISTANCE = Kernel(_minus_distance, lambda x: np.zeros(len(x)))


def energy_distance(features: ArrayLike, reference_features: ArrayLike) -> KernelEstimate:
    """Estimate the energy distance between the distributions of two independent sets.

    The value is in the units of the features, and unbiased, so it may be negative.

    Args:
        features: ``(n, d)`` of the generated samples, n >= 4.
        reference_features: ``(m, d)`` of samples of the truth, m >= 4.

    Raises:
        ValueError: dimensions differ, a side has fewer than four samples, or a value is not finite.
    """
    x, y = as_rows(features), as_rows(reference_features)
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < SMALLEST:
        raise ValueError(
            f"sets {x.shape} and {y.shape} have no energy distance: pass at least "
            f"{SMALLEST} samples of each, by one extractor"
        )
    # a common shift leaves distances unchanged, and smaller squares lose fewer digits
    centre = y.mean(axis=0)
    return estimate_squared_mmd(x - centre, y - centre, MINUS_DISTANCE)


@metric("energy", version=1, needs={"features"}, quantities=(ENERGY,))
def measure_energy_distance(cell: Context) -> Measured:
    """Measure the energy distance of features to as many held-out ones; empty below 4 samples."""
    return measure_against_held_out(cell, "energy", cell.feature_rows[:MOST], energy_distance)
