"""The bound as a function of the first noise level, against the definition."""

import math

import numpy as np
import pytest
import torch

from samplerbench.models.exact.cloud import PointCloud
from samplerbench.models.mmse import MMSECurve
from samplerbench_studies.analysis.first_step import chain, first_step_bound

POINTS = torch.tensor([[-1.0], [0.5], [0.8]], dtype=torch.float64)


def rates(beta, steps):
    """beta_1 … beta_T: the first, then equal shares of what it leaves."""
    return [beta, *(1 / (steps - t + 1) for t in range(2, steps + 1))]


@pytest.mark.parametrize(("beta", "steps"), [(0.2, 2), (1e-3, 5)])
def test_the_chain_is_that_of_the_rates(beta, steps):
    left = np.cumprod([1 - rate for rate in rates(beta, steps)])
    assert chain(beta, steps) == pytest.approx(left / (1 - left), abs=1e-12)


def test_the_bound_is_the_sum_of_its_divergences():
    """By Gauss-Hermite quadrature over x_t of each step's divergence between Gaussians, in the
    coordinates in which the chain is defined.
    """
    model, beta, steps, x0 = PointCloud("three", POINTS), 0.15, 4, 0.5
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    rate = rates(beta, steps)
    left = np.cumprod([1 - one for one in rate])

    def predicted(x, abar):
        if abar == 0:
            return np.full_like(x, POINTS.mean())
        level = math.sqrt((1 - abar) / abar)
        rows = torch.from_numpy(x / math.sqrt(abar))[:, None]
        return model.denoise(rows, level, None).numpy()[:, 0]

    total = 0.0
    for t in range(1, steps + 1):
        abar, before = max(left[t - 1], 0.0), left[t - 2] if t > 1 else 1.0
        abar = 0.0 if abar < 1e-15 else abar
        x = math.sqrt(abar) * x0 + math.sqrt(1 - abar) * nodes
        d = predicted(x, abar)
        if t == 1:
            width = rate[0] / (1 - rate[0])
            total += weights @ (0.5 * np.log(2 * np.pi * width) + (x0 - d) ** 2 / (2 * width))
            continue
        # the mean of q(x_{t-1} | x_t, x_0) moves by this factor with x_0, its variance is the same
        factor = math.sqrt(before) * rate[t - 1] / (1 - abar)
        variance = (1 - before) / (1 - abar) * rate[t - 1]
        total += weights @ (factor**2 * (x0 - d) ** 2 / (2 * variance))

    gamma = np.geomspace(1e-4, 1e3, 400)
    errors = []
    for g in gamma:
        rows = torch.from_numpy(x0 + nodes / math.sqrt(g))[:, None]
        errors.append(weights @ (x0 - model.denoise(rows, g**-0.5, None).numpy()[:, 0]) ** 2)
    blind = np.array([(x0 - POINTS.mean().item()) ** 2])
    found = first_step_bound(MMSECurve(gamma, np.array([errors])), blind, 1, [beta], steps)
    assert found[0, 0] == pytest.approx(total, rel=1e-6)
