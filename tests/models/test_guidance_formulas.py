"""APG, CFG-Zero* and rescaled guidance against their formulas, and what they cost and are called."""

from __future__ import annotations

import math

import pytest
import torch
from looping import each

from samplerbench.models import make_model
from samplerbench.models.exact import GaussianMixture
from samplerbench.models.guidance import Autoguided, ClassifierFree
from samplerbench.models.guidance_formulas import (
    LinearGuidance,
    ProjectedGuidance,
    RescaledGuidance,
    ZeroStarGuidance,
    make_formula,
)

W = 4.0
X = 2 * torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1, 0, 1])
LEVELS = torch.tensor([0.2, 0.7, 1.0, 3.0, 9.0], dtype=torch.float64)
FORMULAS = [
    LinearGuidance(scale=W),
    ProjectedGuidance(scale=W, eta=0.3, threshold=1.5),
    ZeroStarGuidance(scale=W, zero_above=5.0),
    RescaledGuidance(formula=LinearGuidance(scale=W)),
    RescaledGuidance(formula=ProjectedGuidance(scale=W), share=0.4, prediction="x0"),
]


def mixture() -> GaussianMixture:
    rng = torch.Generator().manual_seed(0)
    means = torch.randn(3, 12, generator=rng, dtype=torch.float64)
    factors = 0.3 * torch.randn(3, 12, 2, generator=rng, dtype=torch.float64)
    weights, noise = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.2, 0.3, 0.4])
    return GaussianMixture("m", (3, 4), weights, means, factors, noise, torch.tensor([0, 1, 1]))


MODEL = mixture()


def sizes(values):
    return values.flatten(1).norm(dim=1).reshape(-1, 1, 1)


def inner(a, b):
    return (a * b).flatten(1).sum(1).reshape(-1, 1, 1)


def guided(formula, sigma=1.0, x=X, labels=LABELS):
    return ClassifierFree(MODEL, formula).denoise(x, sigma, labels)


def test_zero_star__a_free_velocity_of_zero_gives_the_labels_velocity_alone():
    formula, label = ZeroStarGuidance(scale=W), torch.ones(2, 3, dtype=torch.float64)
    assert torch.equal(formula.combine(label, torch.zeros_like(label)), W * label)


@each("sigma", [1.0, 4.0])
def test_projected__algorithm_1_of_the_paper(sigma):
    d, f = MODEL.denoise(X, sigma, LABELS), MODEL.denoise(X, sigma, None)
    threshold = float(sizes(d - f).median())
    change = (d - f) * (threshold / sizes(d - f)).clamp(max=1)
    parallel = inner(change, d) / inner(d, d) * d
    expected = d + (W - 1) * (change - parallel + 0.3 * parallel)
    got = guided(ProjectedGuidance(scale=W, eta=0.3, threshold=threshold), sigma)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    linear = guided(ProjectedGuidance(scale=W, eta=1.0), sigma)
    torch.testing.assert_close(linear, guided(W, sigma), rtol=0, atol=1e-12)
    assert torch.equal(guided(ProjectedGuidance(scale=1.0), sigma), d)


def test_projected__momentum_tends_to_another_scale():
    """A running sum D + beta (D before + …) of a D that no longer changes is D / (1 - beta)."""
    d, f = MODEL.denoise(X, 1.0, LABELS), MODEL.denoise(X, 1.0, None)
    total, beta = torch.zeros_like(d), -0.5
    for _ in range(60):
        total = (d - f) + beta * total
    along = total - inner(total, d) / inner(d, d) * d
    same = guided(ProjectedGuidance(scale=1 + (W - 1) / (1 - beta)))
    torch.testing.assert_close(d + (W - 1) * along, same, rtol=0, atol=1e-12)


@each("sigma", [1.0, 4.0])
def test_zero_star__the_best_fit_and_the_velocity_of_the_flow(sigma):
    d, f = MODEL.denoise(X, sigma, LABELS), MODEL.denoise(X, sigma, None)
    t = sigma / (1 + sigma)
    state = (1 - t) * X  # x_t = (1 - t) x0 + t z, whose velocity is (x_t - d) / t
    v, u = (state - d) / t, (state - f) / t
    fit = inner(v, u) / inner(u, u)
    expected = state - t * ((1 - W) * fit * u + W * v)
    torch.testing.assert_close(
        guided(ZeroStarGuidance(scale=W), sigma), expected, rtol=0, atol=1e-12
    )
    residual = v - fit * u
    assert float(inner(residual, u).abs().max()) < 1e-12  # the least squares fit
    zero = guided(ZeroStarGuidance(scale=W, zero_above=0.1), sigma)
    torch.testing.assert_close(zero, state, rtol=0, atol=1e-14)  # Euler's step leaves x_t as it is


@each(("prediction", "k"), [("eps", 1.0), ("v", 1 + 0.7**2), ("flow", 1.7)])
def test_rescaled__the_spread_is_that_of_the_label(prediction, k):
    sigma = 0.7
    d, both = MODEL.denoise(X, sigma, LABELS), guided(W, sigma)
    p, q = (X - k * d) / sigma, (X - k * both) / sigma
    ratio = (p.flatten(1).std(1) / q.flatten(1).std(1)).reshape(-1, 1, 1)
    expected = (X - sigma * q * (0.7 * ratio + 0.3)) / k
    got = guided(RescaledGuidance(formula=LinearGuidance(scale=W), prediction=prediction), sigma)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    full = X - k * guided(
        RescaledGuidance(formula=LinearGuidance(scale=W), prediction=prediction, share=1.0), sigma
    )
    torch.testing.assert_close(full.flatten(1).std(1), sigma * p.flatten(1).std(1))


@each("prediction", ["eps", "v", "flow"])
def test_linear__every_prediction_gives_the_same_image(prediction):
    same = guided(LinearGuidance(scale=W, prediction=prediction), LEVELS)
    torch.testing.assert_close(same, guided(W, LEVELS), rtol=0, atol=1e-12)


@each("formula", FORMULAS, ids=lambda formula: formula.text)
def test_formulas__rows_intervals_and_channels_are_independent(formula):
    model = ClassifierFree(MODEL, formula)
    whole = model.denoise(X, LEVELS, LABELS)
    for k, level in enumerate(LEVELS.tolist()):
        row = model.denoise(X[k : k + 1], level, LABELS[k : k + 1])
        torch.testing.assert_close(row[0], whole[k], rtol=0, atol=1e-13)
    some = ClassifierFree(MODEL, formula, channels=2, interval=(0.5, 2.0))
    d, free = some.denoise_both(X, LEVELS, LABELS)
    label, null = MODEL.denoise(X, LEVELS, LABELS), MODEL.denoise(X, LEVELS, None)
    inside = (LEVELS > 0.5) & (LEVELS <= 2.0)
    for image in (d, free):
        assert torch.equal(image[~inside], label[~inside])
        assert torch.equal(image[:, 2:], label[:, 2:])
    assert torch.equal(free[inside][:, :2], null[inside][:, :2])
    assert not torch.equal(d[inside][:, :2], label[inside][:, :2])
    assert model.passes_at(1.0) == 2


def test_denoise_both__the_second_image_is_at_scale_zero():
    for make in (
        lambda w: ClassifierFree(MODEL, w),
        lambda w: Autoguided(MODEL, ClassifierFree(MODEL, 0.5), w),
    ):
        d, free = make(2.5).bind(torch.arange(5), 0, LABELS).both(X, LEVELS)
        torch.testing.assert_close(d, make(2.5).denoise(X, LEVELS, LABELS), rtol=0, atol=0)
        torch.testing.assert_close(free, make(0.0).denoise(X, LEVELS, LABELS), rtol=0, atol=1e-12)
    d, free = MODEL.denoise_both(X, 1.0, LABELS)
    assert d is free


def test_make_formula__options_names_and_mistakes():
    name = "fashion-mppca"
    model = make_model(
        name, guidance=5, guidance_formula={"name": "apg", "threshold": 2.5}, guidance_rescale=0.5
    )
    assert model.name == f"{name}(guidance=5,apg(threshold=2.5),rescale=0.5)"
    assert make_model(name, guidance=5).name == f"{name}(guidance=5)"
    assert make_formula(2.0, "zero_star") == ZeroStarGuidance(scale=2.0)
    assert make_formula(2.0, None, {"share": 1, "prediction": "eps"}).text.endswith(
        "prediction=eps"
    )
    for spec, rescale, words in (
        ("apgg", None, "not 'apgg'"),
        (["apg"], None, r"not \['apg'\]"),
        ("linear", {"shar": 1}, "guidance_rescale: an option is unknown"),
        ({"name": "apg", "momentum": -0.5}, None, "unexpected keyword argument 'momentum'"),
        ({"name": "apg", "threshold": "big"}, None, "option is unknown or no number"),
        ({"name": "apg", "threshold": 0}, None, "threshold must be > 0"),
        (None, 1.5, "share must be in"),
        ({"name": "zero_star", "prediction": "x"}, None, "prediction is x0, eps"),
    ):
        with pytest.raises(ValueError, match=words):
            make_formula(2.0, spec, rescale)
    with pytest.raises(ValueError, match="guidance without a scale"):
        make_model(name, guidance_formula="apg")
    assert math.isinf(ProjectedGuidance(scale=1.0).threshold)


def test_rescaled__needs_two_elements_and_keeps_predictions_without_spread():
    formula = RescaledGuidance(formula=LinearGuidance(scale=W))
    zeros = torch.zeros(2, 3)
    assert torch.equal(formula.combine(zeros, zeros), zeros)
    assert torch.equal(formula.combine(torch.arange(6.0).reshape(2, 3), zeros), zeros)
    ones = torch.ones(2, dtype=torch.float64)
    single = GaussianMixture("s", (1,), ones, ones[:, None], ones[:, None, None], ones, LABELS[:2])
    with pytest.raises(ValueError, match="in 1 element of a sample"):
        ClassifierFree(single, formula)
