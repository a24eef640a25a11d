"""How Gaussian reverse steps are, against quadrature in one dimension and the case in which the
claim of non-Gaussianity fails.
"""

import math

import pytest
import torch

from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian, gmm_2d
from samplerbench_studies.analysis.transition import transition_kl


def two_modes():
    weights, means, noise = (
        torch.tensor(part, dtype=torch.float64)
        for part in ([0.3, 0.7], [[-1.0], [0.8]], [0.2, 0.4])
    )
    return GaussianMixture(
        "two-modes", (1,), weights, means, torch.zeros(2, 1, 0, dtype=torch.float64), noise
    )


def by_quadrature(model, cur, nxt):
    """(total, shape) on a grid of x_cur times a grid of x_nxt, from the mixture in closed form
    given x_cur.
    """
    start = torch.linspace(-3 - 6 * cur, 3 + 6 * cur, 201, dtype=torch.float64)[:, None]
    weight = model.log_density(start, cur).exp() * (start[1, 0] - start[0, 0])
    keep = (nxt / cur) ** 2
    v = nxt**2 * (1 - keep)
    variance = model._floor
    mean_k = (variance * start + cur**2 * (model._basis[:, 0] + model._centre)) / (
        variance + cur**2
    )
    spread_k = v + (1 - keep) ** 2 * variance * cur**2 / (variance + cur**2)
    chosen = model.responsibilities(start, cur)
    centre_k = keep * start + (1 - keep) * mean_k
    mean = (chosen * centre_k).sum(1)
    spread = (chosen * (spread_k + (centre_k - mean[:, None]).square())).sum(1)
    offset = torch.linspace(-9, 9, 1201, dtype=torch.float64) * spread.max().sqrt()
    y = mean[:, None] + offset
    density = sum(
        chosen[:, k, None]
        * torch.exp(-0.5 * (y - centre_k[:, k, None]) ** 2 / spread_k[k])
        / math.sqrt(2 * math.pi * spread_k[k])
        for k in range(2)
    )

    def against(square):
        log_q = -0.5 * (offset.square() / square + torch.log(2 * math.pi * square))
        terms = torch.where(density > 0, density * (density.clamp(min=1e-300).log() - log_q), 0.0)
        return float((weight * terms.sum(1)).sum() * (offset[1] - offset[0]))

    return against(torch.full((len(start), 1), v, dtype=torch.float64)), against(spread[:, None])


@pytest.mark.parametrize(("cur", "nxt"), [(0.6, 0.5), (1.0, 0.5), (2.0, 0.2)])
def test_divergences_are_those_of_quadrature(cur, nxt):
    found = transition_kl(two_modes(), cur, nxt, 4000)
    total, shape = by_quadrature(two_modes(), cur, nxt)
    assert found.total.covers(total)
    assert found.shape.covers(shape)
    assert found.covariance.covers(total - shape)
    assert found.total.error < 0.1 * total


def test_on_a_gaussian_every_step_is_gaussian_and_still_not_isotropic():
    found = transition_kl(gaussian(), 1.0, 0.3, 40)
    assert abs(found.shape.value) < 1e-10
    assert found.covariance.value > 1


def test_small_steps_are_nearly_gaussian_and_large_ones_are_not():
    shape = [
        transition_kl(gmm_2d(), ratio * 0.5, 0.5, 2000).shape.value for ratio in (1.05, 1.5, 8.0)
    ]
    assert shape[0] < 0.02 < shape[1] < shape[2]
    assert shape[2] > 0.1


@pytest.mark.parametrize(("cur", "nxt"), [(1.0, 0.0), (1.0, 1.0), (0.5, 1.0)])
def test_what_is_no_step_is_refused(cur, nxt):
    with pytest.raises(ValueError, match="goes from cur down to nxt > 0"):
        transition_kl(gmm_2d(), cur, nxt, 10)
