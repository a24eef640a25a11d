"""Distances of coefficients to exact mixtures: against quadrature and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from samplerbench.benchmarks.metrics import coefficient_distances
from samplerbench.benchmarks.metrics.coefficients import quantile_cell_means
from samplerbench.benchmarks.scoring.data import ModelData
from samplerbench.models.exact.problems import make_problem
from samplerbench.models.exact.wavelet import coefficient_mixtures, haar_transform

exact = settings(derandomize=True, deadline=None, max_examples=20)
ONE = np.ones((1, 1))


def mixture(seed, d):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(2), d).T, 3 * rng.standard_normal((2, d)), 0.2 + rng.random((2, d))


def draw(rng, n, weights, means, stds):
    first = rng.random((n, weights.shape[1])) < weights[0]
    return np.where(first, means[0], means[1]) + np.where(
        first, stds[0], stds[1]
    ) * rng.standard_normal(first.shape)


@exact
@given(st.integers(1, 30), st.floats(-2, 2), st.floats(0.2, 3))
def test_a_gaussian_s_cells_are_known(n, mean, std):
    edges = norm.ppf(np.arange(n + 1) / n)
    known = mean - std * n * np.diff(norm.pdf(edges))
    np.testing.assert_allclose(
        quantile_cell_means(n, ONE, mean * ONE, std * ONE)[:, 0], known, rtol=1e-9, atol=1e-9
    )


@exact
@given(st.integers(0, 99), st.integers(1, 40))
def test_cells_average_to_the_mean_and_ascend(seed, n):
    weights, means, stds = mixture(seed, 3)
    cells = quantile_cell_means(n, weights, means, stds)
    np.testing.assert_allclose(cells.mean(0), (weights * means).sum(0), atol=1e-12)
    assert (np.diff(cells, axis=0) > 0).all()


@exact
@given(st.integers(0, 99), st.integers(1, 8), st.floats(-3, 3), st.floats(0.5, 2))
def test_the_distance_to_a_gaussian_is_an_integral_over_quantiles(seed, n, mean, std):
    x = np.sort(np.random.default_rng(seed).standard_normal((n, 1)), 0)
    u = (np.arange(50_000) + 0.5) / 50_000
    integral = np.square(x[(u * n).astype(int), 0] - norm.ppf(u, mean, std)).mean()
    assert coefficient_distances(x, ONE, mean * ONE, std * ONE)[0] == pytest.approx(
        integral / std**2, rel=2e-3, abs=1e-3
    )


@exact
@given(st.integers(0, 99), st.floats(-5, 5), st.floats(0.1, 9))
def test_order_shift_and_scale_change_nothing(seed, shift, scale):
    rng = np.random.default_rng(seed)
    weights, means, stds = mixture(seed, 3)
    x = draw(rng, 20, weights, means, stds)
    moved = coefficient_distances(
        scale * rng.permutation(x) + shift, weights, scale * means + shift, scale * stds
    )
    np.testing.assert_allclose(moved, coefficient_distances(x, weights, means, stds), rtol=1e-7)


def test_exact_samples_get_close_and_corrupted_ones_do_not():
    weights, means, stds = (values.reshape(2, -1) for values in coefficient_mixtures(8))
    rng = np.random.default_rng(0)
    x = draw(rng, 2000, weights, means, stds)
    values = [
        coefficient_distances(scale * x, weights, means, stds).mean()
        for scale in (1, 1.1, 1.3, 1.6)
    ]
    assert values == sorted(values)
    assert 1 / 2000 < values[0] < 15 / 2000
    assert values[2] == pytest.approx(0.09, rel=0.2)  # of a scale c, (c - 1)²


def test_a_sample_less_than_one_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        coefficient_distances(np.zeros((0, 1)), ONE, ONE, ONE)
    with pytest.raises(ValueError, match="mixtures"):
        coefficient_distances(np.zeros((3, 2)), ONE, ONE, ONE)


def test_model_data__mixtures_are_the_models_own():
    model = make_problem("wavelet", 64, 0.5, 0, 0.002, 80.0)
    samples = haar_transform(model.sample(2000, 0)).flatten(1).numpy()
    known = ModelData(model, "cpu").mixtures
    assert np.sqrt(np.square(coefficient_distances(samples, *known)).mean()) < 0.02
