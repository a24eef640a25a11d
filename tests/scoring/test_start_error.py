"""The start's error for Gaussian data: against the flow itself, of the mean and the axes."""

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.suites.cell import start_error, start_errors
from samplerbench.models import make_model
from samplerbench.models.exact.gaussian import Gaussian


@pytest.mark.parametrize("top", [2.0, 80.0])
def test_it_is_the_wasserstein_distance_of_what_the_flow_makes_of_noise(top):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    mean, variances = rng.normal(size=4) * 3, np.array([4.0, 1.0, 0.1, 0.0])
    flow = Gaussian(
        "g", torch.from_numpy(mean), torch.from_numpy(axes), torch.from_numpy(variances)
    )
    origin = flow.flow(torch.zeros(1, 4, dtype=torch.float64), top, 0.0)
    # of one deviation along each axis
    image = flow.flow(torch.from_numpy(axes.T.copy()) * top, top, 0.0) - origin
    means = np.sum((origin[0].numpy() - mean) ** 2)
    # axes are kept, so the two commute
    deviations = np.sum((image.norm(dim=1).numpy() - np.sqrt(variances)) ** 2)
    assert start_error(mean, axes * variances @ axes.T, top) == pytest.approx(
        np.sqrt((means + deviations) / 4), rel=1e-9
    )


def test_a_mean_for_each_class_counts_as_their_average_square():
    means, cov = np.array([[1.0, 0.0], [-1.0, 2.0]]), np.eye(2)
    squares = [start_error(mean, cov, 10.0) ** 2 for mean in means]
    assert start_error(means, cov, 10.0) ** 2 == pytest.approx(np.mean(squares))


def test_starts_from_the_mean_leave_less_and_lower_levels_leave_more():
    errors = start_errors(make_model("gmm-64d"))
    assert 0 < errors["mean"] < errors["noise"] == errors["gaussian"]
    cov = np.eye(3)
    assert start_error(np.ones(3), cov, 80.0) < start_error(np.ones(3), cov, 20.0)
