"""Posterior covariances by differentiation against exact ones, and on a network against finite
differences and duality.
"""

import math

import pytest
import torch
from looping import each

from samplerbench.models import Denoiser, make_model
from samplerbench.models.exact.cloud import PointCloud
from samplerbench.models.exact.problems import gaussian, gmm_2d, gmm_64d
from samplerbench.models.exact.wavelet import Wavelet
from samplerbench.models.mmse import normal_like
from samplerbench_studies.analysis.tweedie import (
    asymmetry,
    covariance,
    covariance_product,
    covariance_trace,
    jacobian_product,
    transposed_product,
)


def cloud():
    rng = torch.Generator().manual_seed(5)
    return PointCloud("cloud", torch.randn(20, 3, generator=rng, dtype=torch.float64))


MODELS = {
    "gaussian": gaussian(),
    "gmm-2d": gmm_2d(),
    "gmm-64d": gmm_64d(),
    "wavelet": Wavelet(side=4),
    "cloud": cloud(),
}


def states(model, sigma, n=3, seed=1):
    x0 = model.sample(n, seed)
    return x0 + sigma * normal_like(x0, seed)


@each("sigma", [0.3, 3.0])
@each("name", MODELS)
def test_tweedie__products_are_those_of_the_exact_covariance(name, sigma):
    model = MODELS[name]
    x = states(model, sigma)
    v = normal_like(x, 7)
    exact = (model.posterior(x, sigma)[1] @ v.flatten(1)[:, :, None]).reshape(x.shape)
    torch.testing.assert_close(covariance_product(model, x, sigma, v), exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["gmm-2d", "wavelet", "cloud"])
def test_the_whole_covariance_is_the_exact_one(name):
    model = MODELS[name]
    x = states(model, 0.5)
    torch.testing.assert_close(
        covariance(model, x, 0.5), model.posterior(x, 0.5)[1], rtol=1e-9, atol=1e-11
    )


def test_a_level_for_each_row_scales_each_row():
    model, sigma = gmm_2d(), torch.tensor([0.2, 0.5, 2.0], dtype=torch.float64)
    x = states(model, 0.5)
    v = normal_like(x, 2)
    rows = torch.cat(
        [covariance_product(model, x[k : k + 1], float(sigma[k]), v[k : k + 1]) for k in range(3)]
    )
    torch.testing.assert_close(covariance_product(model, x, sigma, v), rows, rtol=1e-12, atol=1e-15)


def test_traces_of_small_models_are_exact():
    model = gmm_64d()
    x = states(model, 0.5, 2)
    traces = covariance_trace(model, x, 0.5)
    assert [t.error for t in traces] == [0, 0]
    assert [t.value for t in traces] == pytest.approx(
        model.posterior_trace(x, 0.5).tolist(), rel=1e-9
    )


def test_random_probes_cover_the_trace_with_the_error_of_the_theory():
    model = gmm_64d()
    x = states(model, 0.5)
    traces = covariance_trace(model, x, 0.5, probes=100, seed=3)
    cov = model.posterior(x, 0.5)[1]
    for found, exact, dense in zip(
        traces, model.posterior_trace(x, 0.5).tolist(), cov, strict=True
    ):
        off = dense - dense.diagonal().diag()
        assert found.covers(exact)
        assert found.error == pytest.approx(
            math.sqrt(2 * float(off.square().sum()) / 100), rel=0.25
        )
    assert covariance_trace(model, x, 0.5, probes=100, seed=3) == traces
    assert covariance_trace(model, x, 0.5, probes=100, seed=4) != traces


def test_one_probe_has_no_error():
    with pytest.raises(ValueError, match="at least 2"):
        covariance_trace(gmm_2d(), torch.zeros(1, 2), 1.0, probes=1)


class Linear(Denoiser):
    """d = A x with an A that is not symmetric, as no exact denoiser's is."""

    name, event, identity = "linear", (3,), "linear"
    matrix = torch.tensor([[0.5, 0.2, 0.0], [-0.1, 0.3, 0.4], [0.0, 0.0, 0.1]])

    def denoise(self, x, sigma, labels):
        return x @ self.matrix.T


def test_columns_rows_and_asymmetry_are_told_apart():
    model, x = Linear(), torch.randn(2, 3)
    torch.testing.assert_close(covariance(model, x, 2.0), 4 * model.matrix.expand(2, 3, 3))
    torch.testing.assert_close(
        transposed_product(model, x, 2.0, torch.tensor([[0.0, 1.0, 0.0]]).expand(2, 3)),
        model.matrix[1].expand(2, 3),
    )
    ratio = float((model.matrix - model.matrix.T).norm() / (model.matrix + model.matrix.T).norm())
    assert asymmetry(model, x, 2.0, probes=2000) == pytest.approx(ratio, rel=0.05)


@pytest.fixture(scope="module")
def digits():
    return make_model("digits")


def test_on_a_network_products_are_derivatives(digits):
    x = torch.randn(3, *digits.event, generator=torch.Generator().manual_seed(0))
    v, labels, step = normal_like(x, 0), torch.tensor([0, 5, 10]), 1e-2
    ahead, behind = (digits.denoise(x + s * v, 0.5, labels) for s in (step, -step))
    d, product = jacobian_product(digits, x, 0.5, v, labels)
    # attention by another kernel
    torch.testing.assert_close(d, digits.denoise(x, 0.5, labels), rtol=1e-5, atol=1e-5)
    assert float((product - (ahead - behind) / (2 * step)).norm() / product.norm()) < 1e-2


def test_on_a_network_the_two_products_are_transposes(digits):
    x = torch.randn(2, *digits.event, generator=torch.Generator().manual_seed(0))
    u, v = normal_like(x, 0), normal_like(x, 1)
    there = (u * jacobian_product(digits, x, 0.5, v)[1]).sum()
    back = (v * transposed_product(digits, x, 0.5, u)).sum()
    assert float(there) == pytest.approx(float(back), rel=1e-3)


def test_an_exact_model_is_a_gradient_field_and_a_network_is_not_quite(digits):
    x = states(gmm_64d(), 0.5)
    assert asymmetry(gmm_64d(), x, 0.5, probes=3) < 1e-9
    images = torch.randn(2, *digits.event, generator=torch.Generator().manual_seed(0))
    assert 0.01 < asymmetry(digits, images, 0.5, probes=3) < 1


def test_it_works_inside_inference_mode():
    model = gmm_2d()
    x = states(model, 0.5)
    expected = covariance(model, x, 0.5)
    with torch.inference_mode():
        torch.testing.assert_close(covariance(model, x.clone(), 0.5), expected)
    assert not x.requires_grad
