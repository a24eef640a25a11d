"""Posterior traces, candidates and classes of exact models against dense covariances, plain
sums and Bayes' rule.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.models import make_model
from samplerbench.models.exact.cloud import KernelDensity, PointCloud
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian, gmm_2d, gmm_64d
from samplerbench.models.exact.wavelet import Wavelet
from samplerbench.models.mmse import normal_like
from samplerbench_studies.analysis.candidates import (
    class_prior,
    class_probabilities,
    classes_along,
    effective_candidates,
    effective_number,
    responsibilities,
)


def cloud(count=20, dim=3, classes=4):
    rng = torch.Generator().manual_seed(1)
    return PointCloud(
        "cloud",
        torch.randn(count, dim, generator=rng, dtype=torch.float64),
        torch.arange(count) % classes,
    )


def labelled(dim=3, rank=2):
    rng = torch.Generator().manual_seed(2)
    weights, noise = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.1, 0.3, 0.2, 0.4])
    means, factors = (
        torch.randn(*shape, generator=rng, dtype=torch.float64)
        for shape in ((4, dim), (4, dim, rank))
    )
    classes = torch.tensor([0, 1, 0, 1])
    return (
        weights,
        means,
        factors,
        noise,
        classes,
        GaussianMixture("labelled", (dim,), weights, means, factors, noise, classes),
    )


MODELS = {
    "gaussian": gaussian(),
    "gmm-2d": gmm_2d(),
    "gmm-64d": gmm_64d(),
    "labelled": labelled()[-1],
    "wavelet": Wavelet(side=8),
    "cloud": cloud(),
    "kde": KernelDensity(cloud(), 0.3),
}


def states(model, sigma, n=5):
    x0 = model.sample(n, 3)
    return x0 + sigma * normal_like(x0, 4)


@each("sigma", [0.3, 1.0, 30.0])
@each("name", MODELS)
def test_posterior__the_trace_is_that_of_the_dense_covariance(name, sigma):
    model = MODELS[name]
    x = states(model, sigma)
    dense = model.posterior(x, sigma)[1].diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(model.posterior_trace(x, sigma), dense, rtol=1e-11, atol=1e-13)


@each("name", MODELS)
def test_posterior__a_level_for_each_row_is_the_same_as_one_at_a_time(name):
    model = MODELS[name]
    sigma = torch.tensor([0.3, 1.0, 30.0], dtype=torch.float64)
    x = states(model, 1.0, 3)
    single = torch.cat([model.posterior_trace(x[k : k + 1], float(sigma[k])) for k in range(3)])
    torch.testing.assert_close(model.posterior_trace(x, sigma), single, rtol=1e-12, atol=0)


def test_given_a_label_the_trace_is_that_of_the_classs_own_mixture():
    weights, means, factors, noise, classes, model = labelled()
    x = states(model, 0.7)
    for label in (0, 1):
        own = classes == label
        alone = GaussianMixture("alone", (3,), weights[own], means[own], factors[own], noise[own])
        labels = torch.full((len(x),), label)
        torch.testing.assert_close(
            model.posterior_trace(x, 0.7, labels),
            alone.posterior_trace(x, 0.7),
            rtol=1e-11,
            atol=0,
        )


def test_traces_without_labels_say_so():
    with pytest.raises(ValueError, match="without labels only"):
        gaussian().posterior_trace(torch.zeros(1, 16), 1.0, torch.zeros(1, dtype=torch.int64))


def test_the_trace_of_a_cloud_is_a_sum_over_its_points():
    model = cloud()
    x = states(model, 0.8)
    weights = torch.softmax(-torch.cdist(x, model._points).square() / (2 * 0.8**2), 1)
    mean = weights @ model._points
    square = (weights[:, :, None] * (model._points - mean[:, None]).square()).sum((1, 2))
    torch.testing.assert_close(model.posterior_trace(x, 0.8), square, rtol=1e-11, atol=0)


@given(st.integers(1, 30), st.integers(0, 10))
def test_the_effective_number_of_k_equal_candidates_is_k(k, others):
    rows = torch.cat(
        [
            torch.full((1, k), 1 / k, dtype=torch.float64),
            torch.zeros(1, others, dtype=torch.float64),
        ],
        1,
    )
    assert float(effective_number(rows)) == pytest.approx(k)


@pytest.mark.parametrize("name", ["gmm-2d", "cloud", "kde"])
def test_candidates_go_from_the_prior_to_one(name):
    model = MODELS[name]
    far, mid, near = (effective_candidates(model, states(model, s), s) for s in (1e4, 0.5, 1e-3))
    prior = model._weights if name == "gmm-2d" else torch.full((20,), 0.05, dtype=torch.float64)
    torch.testing.assert_close(far, effective_number(prior[None]).expand(5), rtol=1e-3, atol=0)
    assert bool(((mid >= 1) & (mid <= far * (1 + 1e-3))).all())
    if name != "kde":  # its kernels overlap, so that not even the clean sample names one
        torch.testing.assert_close(near, torch.ones(5, dtype=torch.float64), rtol=1e-3, atol=0)


def test_the_candidates_of_a_kernel_density_are_its_points_seen_through_the_kernel():
    model = KernelDensity(cloud(), 0.3)
    x = states(model, 0.4)
    torch.testing.assert_close(
        responsibilities(model, x, 0.4), model._cloud.responsibilities(x, 0.5), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize(
    "model", [labelled()[-1], cloud(), KernelDensity(cloud(), 0.3)], ids=["mixture", "cloud", "kde"]
)
def test_class_probabilities_follow_bayes_rule(model):
    x = states(model, 0.6)
    joint = [
        class_prior(model)[c].log() + model.log_density(x, 0.6, torch.full((len(x),), c))
        for c in range(model.classes)
    ]
    torch.testing.assert_close(
        class_probabilities(model, x, 0.6), torch.stack(joint, 1).softmax(1), rtol=1e-10, atol=1e-14
    )


def test_classes_along_a_trajectory_go_from_the_prior_to_certainty():
    model = cloud()
    x0 = model.sample(6, 0)
    levels = [1e4, 1.0, 1e-3]
    along = classes_along(model, [x0 + s * normal_like(x0, 1) for s in levels], levels)
    torch.testing.assert_close(along[0], class_prior(model).expand(6, -1), rtol=0, atol=1e-3)
    assert (along[-1].argmax(1) == model.labels[model.mode_of(x0)]).all()
    assert float(along[-1].amax(1).min()) > 1 - 1e-9


def test_models_without_components_or_classes_say_so():
    with pytest.raises(ValueError, match="has no components"):
        responsibilities(gaussian(), torch.zeros(1, 16), 1.0)
    with pytest.raises(ValueError, match="has no classes"):
        class_probabilities(gmm_2d(), torch.zeros(1, 2), 1.0)


def test_the_trace_of_fashion_mppca_is_that_of_its_dense_covariance():
    model = make_model("fashion-mppca")
    x = states(model, 0.5, 1)
    torch.testing.assert_close(
        model.posterior_trace(x, 0.5),
        model.posterior(x, 0.5)[1].diagonal(dim1=1, dim2=2).sum(1),
        rtol=1e-10,
        atol=0,
    )
