"""The study of guidance: its mixture is exact, and its numbers are found again where they are known."""

from __future__ import annotations

import torch

from samplerbench.models.exact import GaussianMixture
from samplerbench.samplers import Grid, karras, make
from samplerbench_studies import guidance

MODEL = guidance.make_mixture()


def test_mixture__is_the_exact_model_with_classes():
    exact = GaussianMixture(
        "m",
        (guidance.DIM,),
        torch.ones(6),
        MODEL.means,
        torch.zeros(6, guidance.DIM, 0, dtype=torch.float64),
        torch.full((6,), MODEL.std, dtype=torch.float64),
        MODEL.classes,
    )
    for sigma in (0.05, 1.0, 8.0):
        x = sigma * guidance.latents(20, 0)
        label, free = MODEL.denoise(x, sigma)
        own = torch.full((20,), guidance.LABEL)
        torch.testing.assert_close(label, exact.denoise(x, sigma, own), rtol=0, atol=1e-10)
        torch.testing.assert_close(free, exact.denoise(x, sigma, None), rtol=0, atol=1e-10)
    samples = MODEL.draw(4000, 1)
    shares = exact.responsibilities(samples, 0.0, torch.full((4000,), guidance.LABEL)).mean(0)
    torch.testing.assert_close(shares[:2], torch.full((2,), 0.5).double(), rtol=0, atol=0.04)


def test_order__heun_loses_an_order_at_the_ends_of_an_interval_and_the_midpoint_does_not():
    high, low = guidance.INTERIOR[1], guidance.INTERIOR[0]
    ends = [high * (low / high) ** share for share in (0.25, 0.75)]
    x = high * guidance.latents(16, 1)
    truth = guidance.solve_pieces(MODEL, x, 3.0, (high, *ends, low))
    guided = guidance.Guided(MODEL, guidance.inside(3.0, ends[1], ends[0]))
    found = {
        name: float(guidance.order(make(name), lambda _: guided, x, truth))
        for name in ("heun", "dpm_solver_2")
    }
    assert 0.8 < found["heun"] < 1.2
    assert found["dpm_solver_2"] > 1.9


def test_per_step__cfgpp_is_guidance_at_a_scale_for_each_step():
    grid = Grid(karras(6, *guidance.LEVELS).sigma)
    x = guidance.LEVELS[1] * guidance.latents(8, 3)
    by_step = guidance.Guided(MODEL, guidance.per_step(0.7, grid, -1))
    plus = make("cfgpp").sample(guidance.Guided(MODEL, guidance.constant(0.7)), x, grid)
    torch.testing.assert_close(plus, make("euler").sample(by_step, x, grid), rtol=0, atol=1e-11)
