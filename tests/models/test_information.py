"""MMSE curves and information against closed forms, quadrature, entropies and theorems."""

import math

import numpy as np
import pytest
import torch
from gaussian_curves import gaussian_mmse
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.models.exact.cloud import PointCloud
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian, gmm_2d
from samplerbench.models.loaders.perturbed import Perturbed
from samplerbench.models.mmse import (
    Estimate,
    MMSECurve,
    denoising_loss,
    estimate_mean,
    exact_mmse,
    gammas,
    normal_like,
)
from samplerbench_studies.analysis.information import exact_information, information

VARIANCES = np.linalg.eigvalsh(gaussian().moments()[1])


def two_modes():
    parts = ([0.3, 0.7], [[-1.0], [0.8]], [0.2, 0.4])
    weights, means, noise = (torch.tensor(part, dtype=torch.float64) for part in parts)
    return GaussianMixture(
        "two-modes", (1,), weights, means, torch.zeros(2, 1, 0, dtype=torch.float64), noise
    )


def quadrature_mmse(model, gamma):
    """E x0² - E d² on the line, for one dimension."""
    sigma = gamma**-0.5
    x = torch.linspace(-8 - 8 * sigma, 8 + 8 * sigma, 8001, dtype=torch.float64)[:, None]
    density = model.log_density(x, sigma).exp()
    mean, cov = model.moments()
    return float(
        mean[0] ** 2
        + cov[0, 0]
        - (density * model.denoise(x, sigma)[:, 0].square()).sum() * (x[1, 0] - x[0, 0])
    )


def test_an_estimate_is_a_mean_with_its_error():
    found = estimate_mean(np.array([1.0, 2.0, 3.0]), 0.5)
    assert found == Estimate(2.0, pytest.approx(1 / math.sqrt(3)), 0.5)
    assert found.covers(2.0 + 4 / math.sqrt(3) + 0.49)
    assert not found.covers(2.0 + 4 / math.sqrt(3) + 0.51)
    assert estimate_mean(np.ones(1)).error == math.inf
    with pytest.raises(ValueError, match="at least one draw"):
        estimate_mean(np.ones(0))


def test_the_curve_of_a_gaussian_is_its_closed_form():
    gamma = gammas(0.01, 80.0, 9)
    curve = exact_mmse(gaussian(), gamma, 2)
    np.testing.assert_allclose(curve.falling_mean(), gaussian_mmse(VARIANCES, gamma), rtol=1e-10)


@pytest.mark.parametrize("gamma", [0.05, 1.0, 4.0, 60.0])
def test_the_mmse_of_a_mixture_is_that_of_quadrature(gamma):
    curve = exact_mmse(two_modes(), gamma * np.array([0.9, 0.99, 1.0, 1.1]), 4000)
    found = curve.value(gamma)
    assert found.covers(quadrature_mmse(two_modes(), gamma))
    assert found.error < 0.02 * found.value


def test_the_mmse_in_two_dimensions_is_that_of_quadrature():
    model, sigma = gmm_2d(), 0.7
    axis = torch.linspace(-6.5, 6.5, 261, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    weight = model.log_density(x, sigma).exp() * (axis[1] - axis[0]) ** 2
    mean, cov = model.moments()
    truth = float(
        mean @ mean + np.trace(cov) - (weight * model.denoise(x, sigma).square().sum(1)).sum()
    )
    assert (
        exact_mmse(model, sigma**-2 * np.array([0.8, 0.9, 1.0, 1.1]), 4000)
        .value(sigma**-2)
        .covers(truth)
    )


def test_common_random_numbers_make_a_curve_fall_and_a_gaussian_bounds_it():
    model = gmm_2d()
    curve = exact_mmse(model, gammas(0.02, 80.0, 49), 500)
    raw = curve.draws.mean(0)
    assert (np.diff(raw) < 0).mean() > 0.95
    assert (np.diff(curve.falling_mean()) <= 0).all()
    bound = gaussian_mmse(np.linalg.eigvalsh(model.moments()[1]), curve.gamma)
    assert (raw <= bound + 4 * curve.draws.std(0) / math.sqrt(500)).all()


@given(st.floats(0.02, 20.0), st.floats(0.02, 20.0))
def test_integrals_of_a_curve_are_exact_and_add_up(a, b):
    gamma = gammas(0.01, 80.0, 129)
    curve = MMSECurve(gamma, gaussian_mmse(VARIANCES, gamma)[None])
    low, high = sorted((a**-2, b**-2))
    primitive = np.log1p(np.outer([low, high], VARIANCES)).sum(1)
    assert float(curve.integral(low, high)[0]) == pytest.approx(
        primitive[1] - primitive[0], abs=1e-5
    )
    assert float(curve.at(low)[0]) == pytest.approx(
        float(gaussian_mmse(VARIANCES, low)[0]), rel=1e-5
    )


def test_sampling_noise_does_not_make_a_mean_curve_rise():
    curve = MMSECurve(
        np.array([1.0, 2.0, 3.0, 4.0]), np.array([[5.0, 3.0, 4.0, 1.0], [3.0, 1.0, 2.0, 1.0]])
    )
    assert curve.falling_mean().tolist() == [4.0, 2.0, 2.0, 1.0]
    assert curve.halved().gamma.tolist() == [1.0, 3.0, 4.0]


def test_a_curve_answers_on_its_nodes_only():
    curve = exact_mmse(gaussian(), gammas(0.1, 10.0, 5), 2)
    with pytest.raises(ValueError, match="spans gamma"):
        curve.at(200.0)
    with pytest.raises(ValueError, match="at least two nodes"):
        MMSECurve(np.array([1.0, 2.0, 1.5, 3.0]), np.ones((1, 4)))
    with pytest.raises(ValueError, match="give it more"):
        MMSECurve(np.array([1.0, 2.0]), np.ones((1, 2))).halved()
    with pytest.raises(ValueError, match="needs draws"):
        MMSECurve(np.array([1.0, 2.0, 3.0, 4.0]), np.ones((1, 5)))
    with pytest.raises(ValueError, match="0 < sigma_min < sigma_max"):
        gammas(1.0, 1.0, 5)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_the_information_of_a_gaussian_is_half_its_log_determinant(sigma):
    found, _ = exact_information(gaussian(), sigma, 2)
    truth = 0.5 * float(np.log1p(VARIANCES / sigma**2).sum())
    assert found.error < 1e-9
    assert abs(found.value - truth) <= found.bound <= 1e-3 * max(1, truth)


@pytest.mark.parametrize("first", [1e-6, 1e-2, 1.0])
def test_the_bound_covers_the_tail_wherever_the_curve_begins(first):
    gamma = np.geomspace(first, 100.0, 201)
    # a Gaussian attains one end of it
    curve = MMSECurve(gamma, gaussian_mmse(VARIANCES, gamma)[None].repeat(2, 0))
    found = information(curve, 0.1, VARIANCES)
    assert abs(found.value - 0.5 * float(np.log1p(100 * VARIANCES).sum())) <= found.bound + 1e-9


def test_a_cloud_ends_at_the_logarithm_of_its_points():
    rng = torch.Generator().manual_seed(8)
    cloud = PointCloud("cloud", torch.randn(12, 2, generator=rng, dtype=torch.float64))
    found, _ = exact_information(cloud, 1e-3, 4000)
    assert found.covers(math.log(12))
    assert found.error < 0.05


@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_the_information_of_a_mixture_is_a_difference_of_entropies(sigma):
    """I(x0; X) = h(x) - h(x | x0), with h(x) by exact log-densities: neither an MMSE nor an
    integral.
    """
    model = gmm_2d()
    found, _ = exact_information(model, sigma, 2000)
    x0 = model.sample(20_000, 99)
    x = x0 + sigma * normal_like(x0, 98)
    other = estimate_mean(
        (-model.log_density(x, sigma) - math.log(2 * math.pi * math.e * sigma**2)).numpy()
    )
    assert abs(found.value - other.value) < 4 * math.hypot(found.error, other.error) + found.bound


def test_the_denoising_loss_of_an_exact_model_is_its_mmse():
    model, gamma = gmm_2d(), gammas(0.1, 10.0, 5)
    loss, exact = (
        denoising_loss(model, model.sample(4000, 0), gamma),
        exact_mmse(model, gamma, 4000),
    )
    # the same states, so that only the spread about the mean is left
    gap = loss.draws - exact.draws
    assert (np.abs(gap.mean(0)) < 4 * gap.std(0) / math.sqrt(4000)).all()


def test_the_denoising_loss_has_the_models_own_error_on_top():
    inner, gamma = gmm_2d(), gammas(0.3, 3.0, 4)
    model = Perturbed(inner, 0.5, 1.0)
    x0 = inner.sample(4000, 0)
    extra = denoising_loss(model, x0, gamma).draws - denoising_loss(inner, x0, gamma).draws
    for k, g in enumerate(gamma):
        own = model.error(x0 + g**-0.5 * normal_like(x0, 0), g**-0.5).square().sum(1).numpy()
        gap = extra[:, k] - own
        assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(4000)
        assert own.mean() > 0.02
