"""Mutual information I(x0; x_sigma) of clean and noisy sample in nats, by the I-MMSE relation.

    I(x0; x_sigma) = 1/2 int_0^{1 / sigma²} mmse(gamma) dgamma

(Guo, Shamai and Verdú, IEEE Trans. Inf. Theory 51:1261, 2005, theorem 1). It tends to log N on a
cloud of N equally likely points and grows without bound on a density; the differential entropy of
x0 given x would diverge on the cloud.
"""

from __future__ import annotations

import math

import numpy as np

from samplerbench.models import Estimate, MMSECurve, estimate_mean, exact_mmse, gammas
from samplerbench.models.exact import ExactModel

from ..arrays import FloatArray

MOST_NODES = 1025


def information(curve: MMSECurve, sigma: float, variances: FloatArray) -> Estimate:
    """Return I(x0; x_sigma) from a tabulated curve.

    The part below the first node gamma_0 is at least 1/2 gamma_0 mmse(gamma_0), as mmse falls, and
    at most 1/2 sum_j log(1 + gamma_0 v_j), the value of a Gaussian of the same covariance. The
    midpoint is used.

    Args:
        curve: MMSE curve whose nodes reach 1 / sigma².
        sigma: level > 0.
        variances: ``(d,)`` eigenvalues of the data's covariance.

    Returns:
        The estimate in nats, with a bound for this part and the interpolation.

    Raises:
        ValueError: the curve does not reach the level.
    """
    start, stop = float(curve.gamma[0]), 1 / sigma**2
    draws = 0.5 * curve.integral(start, stop)
    coarse = 0.5 * curve.halved().integral(start, stop)
    low, high = (
        0.5 * start * curve.value(start).value,
        0.5 * float(np.log1p(start * variances).sum()),
    )
    bound = abs(float((draws - coarse).mean())) + abs(high - low) / 2
    return estimate_mean(draws + (low + high) / 2, bound)


def exact_information(
    model: ExactModel, sigma: float, samples: int = 256, seed: int = 0, *, tolerance: float = 1e-3
) -> tuple[Estimate, MMSECurve]:
    """Return I(x0; x_sigma) of an exact model; nodes are doubled until ``tolerance`` is met.

    Args:
        model: an exact model.
        sigma: level > 0, below its sigma_max.
        samples: n >= 2, the same at every level.
        seed: >= 0.
        tolerance: largest bound allowed, relative to 1 nat or the information, whichever is more.

    Returns:
        The estimate and its MMSE curve.

    Raises:
        ArithmeticError: the tolerance is not reached with :data:`MOST_NODES` nodes.
    """
    variances = np.linalg.eigvalsh(model.moments()[1]).astype(np.float64)
    # Below this first node a Gaussian of the same covariance has a tenth of the tolerance in nats.
    first = min(0.2 * tolerance / float(variances.sum()), 1 / model.sigma_max**2)
    nodes = 33
    curve = exact_mmse(model, gammas(sigma, 1 / math.sqrt(first), nodes), samples, seed)
    while True:
        result = information(curve, sigma, variances)
        if result.bound <= tolerance * max(1.0, result.value):
            return result, curve
        nodes = 2 * nodes - 1
        if nodes > MOST_NODES:
            raise ArithmeticError(
                f"the information of {model.name} is uncertain by "
                f"{result.bound:.1e} nats; raise the tolerance"
            )
        curve = _refined(curve, model, samples, seed)


def _refined(curve: MMSECurve, model: ExactModel, samples: int, seed: int) -> MMSECurve:
    """Return the curve with a further node between every two."""
    between = np.sqrt(curve.gamma[1:] * curve.gamma[:-1])
    extra = exact_mmse(model, between, samples, seed)
    gamma = np.concatenate([curve.gamma, between])
    order = gamma.argsort()
    return MMSECurve(gamma[order], np.concatenate([curve.draws, extra.draws], 1)[:, order])
