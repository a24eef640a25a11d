"""The MMSE curve of a Gaussian, in closed form."""

import numpy as np

from samplerbench.models.mmse import FloatArray


def gaussian_mmse(variances: FloatArray, gamma: FloatArray | float) -> FloatArray:
    """sum_j v_j / (1 + gamma v_j): the mmse of a Gaussian with these variances in its principal
    directions ``(d,)``.

    No distribution with the same covariance has a larger one.
    """
    v = np.asarray(variances)[:, None]
    return (v / (1 + np.atleast_1d(gamma) * v)).sum(0)
