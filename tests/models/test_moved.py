"""Moved exact models: the same problem in other coordinates, for everything that scales with its model."""

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.planning.fitting import Pilot
from samplerbench.benchmarks.sampling.batch import latents
from samplerbench.models import make_model
from samplerbench.models.exact.problems import KINDS, make_problem
from samplerbench.models.loaders.family import MovedModel
from samplerbench.samplers import karras, make


def pair(kind, dim=4, seed=3):
    inner = make_problem(kind, dim, 0.7, seed, 0.01, 50.0)
    return inner, MovedModel(inner, 5)


@pytest.mark.slow
@each("kind", KINDS)
def test_moved__denoiser_density_and_flow_are_the_inner_ones_in_moved_coordinates(kind):
    inner, moved = pair(kind)
    x = torch.randn(
        5, *inner.event, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    y = moved.moved_states(x.flatten(1)).reshape(x.shape)
    level = torch.tensor([0.02, 0.3, 1.0, 4.0, 20.0], dtype=torch.float64)

    def back(states):
        return moved.inner_states(states.flatten(1)).reshape(x.shape)

    torch.testing.assert_close(
        back(moved.denoise(y, level * moved.factor)), inner.denoise(x, level), rtol=1e-9, atol=1e-9
    )
    ends = moved.flow(y, 1.0 * moved.factor, 0.4 * moved.factor)
    torch.testing.assert_close(back(ends), inner.flow(x, 1.0, 0.4), rtol=1e-8, atol=1e-8)
    density = moved.log_density(y, level * moved.factor) + 4 * np.log(moved.factor)
    torch.testing.assert_close(density, inner.log_density(x, level), rtol=1e-8, atol=1e-8)


def test_moved__score_of_the_density_is_the_denoiser():
    _, moved = pair("modes", dim=3)
    y = moved.sample(4, 1) + 0.3
    level, step = 0.5, 1e-5
    shifts = step * torch.eye(3, dtype=torch.float64)
    slopes = torch.stack(
        [
            (moved.log_density(y + shift, level) - moved.log_density(y - shift, level)) / (2 * step)
            for shift in shifts
        ],
        1,
    )
    torch.testing.assert_close(moved.denoise(y, level), y + level**2 * slopes, rtol=1e-6, atol=1e-6)


def test_moved__endpoints_count_the_inner_evaluations():
    inner, moved = pair("modes")
    x = 2.0 * torch.randn(3, *inner.event, dtype=torch.float64)
    rows, moved_rows = [], []
    inner.with_observer(rows.append).flow(x, 2.0, 1.0)
    y, levels = moved.moved_states(x), (2.0 * moved.factor, moved.factor)
    moved.with_observer(moved_rows.append).flow(y, *levels)
    assert sum(moved_rows) == pytest.approx(sum(rows), rel=0.1)
    assert sum(rows) > 50


def test_moved__moments_are_those_of_its_samples():
    _, moved = pair("sheet")
    mean, covariance = moved.moments()
    x = moved.sample(20_000, 0).numpy()
    spread = np.sqrt(np.trace(covariance))
    assert np.abs(x.mean(0) - mean).max() < 0.03 * spread
    assert np.abs(np.cov(x.T) - covariance).max() < 0.03 * spread**2


def test_moved__posterior_covariance_is_the_jacobian_of_the_denoiser():
    _, moved = pair("modes", dim=3)
    y, level, step = moved.sample(2, 4), 0.6, 1e-5
    columns = [
        (moved.denoise(y + shift, level) - moved.denoise(y - shift, level)) / (2 * step)
        for shift in step * torch.eye(3, dtype=torch.float64)
    ]
    mean, covariance = moved.posterior(y, level)
    torch.testing.assert_close(mean, moved.denoise(y, level))
    torch.testing.assert_close(covariance, level**2 * torch.stack(columns, 2), rtol=1e-5, atol=1e-7)


def run(model, spec, n=12):
    ids, grid = torch.arange(6), karras(n, model.sigma_min, model.sigma_max)
    sampler = Pilot(model, None).fitted(make(spec), grid) if isinstance(spec, str) else spec
    x, _ = latents(model, ids, 0, torch.float64)
    return sampler.sample(model.bind(ids, 0), x, grid)


@pytest.mark.parametrize("spec", ["euler", "heun", "dpmpp_2m", "unipc_3", "ipndm"])
def test_moved__samplers_give_the_same_samples_moved(spec):
    inner, moved = pair("modes", dim=5)
    wanted = moved.moved_states(run(inner, spec))
    assert torch.allclose(run(moved, spec), wanted, rtol=1e-6, atol=1e-6 * moved.factor)


@pytest.mark.slow
def test_moved__auto_finds_the_same_rule_at_another_scale_and_its_rule_moves_with_the_data(
    monkeypatch,
):
    """After any number of generations of the search."""
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 4)
    inner, moved = pair("modes", dim=5)
    grid = karras(12, inner.sigma_min, inner.sigma_max)
    fitted = Pilot(inner, None).fitted(make("auto"), grid)
    found = fitted.found.rule
    scaled = MovedModel(inner, 5)
    scaled._rotation, scaled._shift = torch.eye(5, dtype=torch.float64), torch.zeros(5)
    wanted = scaled.moved_states(run(inner, fitted))
    assert torch.allclose(run(scaled, "auto"), wanted, rtol=1e-6, atol=1e-6)
    # a rotation changes the directions of the probe, and so the choice between near ties; auto is
    # made for data of mean zero (``translates`` is False), so there is no shift
    moved._shift = torch.zeros(5)
    text = found._replace(spread=found.spread * moved.factor).text
    wanted = moved.moved_states(run(inner, f"auto(rule='{found.text}')"))
    got = run(moved, f"auto(rule='{text}')")
    assert torch.allclose(got, wanted, rtol=1e-6, atol=1e-6 * moved.factor)


def test_moved__a_bad_seed_is_one_sentence():
    with pytest.raises(ValueError, match="moved is a seed"):
        make_model("family:curve", moved=-1)
