"""Lines for k-diffusion, pasted: its functions give the samples of our samplers, from the same latents."""

from __future__ import annotations

import pytest
import torch
from moved_tables import MOVED, moved

from samplerbench.benchmarks.advice.exports import export, missing
from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make, names, uniform_lambda
from samplerbench.samplers.peers.base import PeerBatch

sampling = pytest.importorskip("k_diffusion.sampling")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

PROBLEM = ThreeModes()
MODEL = make_model("gmm-2d")
"""Whichever: k-diffusion's functions do not depend on the model."""
LOW, HIGH = 0.05, 10.0
GRIDS = (
    karras(8, LOW, HIGH, to_zero=True),
    karras(17, LOW, HIGH, to_zero=False),
    uniform_lambda(6, LOW, HIGH, to_zero=True),
    uniform_lambda(5, LOW, HIGH, to_zero=False),
    Grid((10.0, 4.0, 2.0, 1.9, 0.4, 0.0)),
    Grid((10.0, 0.7, 0.0)),
    Grid((10.0, 0.0)),
)
WITHIN = 1e-4
EXPORTED = [
    *names(),
    "ddim(eta=1.0)",
    "dpmpp_2m(last=[2, 1])",
    "dpmpp_2m_sde(solver_type='heun')",
    "dpmpp_2m_sde(eta=0.5)",
    "dpmpp_2m_sde(eta=0.0)",
    "dpmpp_sde(r=0.4)",
    "dpmpp_2s(r1=0.4)",
    "dpmpp_2s_ancestral(eta=0.0)",
    "euler_ancestral(eta=0.5, s_noise=1.01)",
    "euler_churn(churn=3.0, s_min=0.1)",
    "dpm_2(churn=3.0)",
    "heun",
    "zab_3(through_zero=True)",
    "lms(through_zero=True)",
]


def pasted(code: str, noise: SampleNoise, grid: Grid, monkeypatch, model=PROBLEM) -> torch.Tensor:
    """What the lines give, with our noise in the place of the library's."""
    call = PeerBatch(model, grid, noise, torch.float64)
    monkeypatch.setattr(sampling, "default_noise_sampler", lambda _: call.draw)
    monkeypatch.setattr(sampling, "BrownianTreeNoiseSampler", lambda *_, **__: call.draw)
    given = {"model": call.denoised, "noise": noise.initial()}
    churned = "s_churn=" in code and "s_churn=0.0" not in code
    with call.replace_torch_noise(call.step_noise_function() if churned else None):
        exec(code, given)
    return given["samples"]


@pytest.mark.parametrize("spec", EXPORTED)
def test_samples_are_ours(monkeypatch, spec):
    sampler = make(spec)
    if missing("k-diffusion", sampler, MODEL):
        with pytest.raises(ValueError, match="cannot export"):
            export("k-diffusion", sampler, GRIDS[0], MODEL, "gmm-2d")
        return
    noise = SampleNoise(1, torch.arange(10), (2,), torch.float64)
    for grid in GRIDS:
        first = grid.sigma[0] * noise.initial()
        ours = sampler.sample(PROBLEM, first, grid, noise if sampler.stochastic else NoNoise())
        if sampler.stochastic and len(grid) == 1 and "m_sde" in spec:
            with pytest.raises(ValueError, match="fails on one step"):
                export("k-diffusion", sampler, grid, MODEL, "gmm-2d")
            continue
        made = export("k-diffusion", sampler, grid, MODEL, "gmm-2d")
        theirs = pasted(made.code, noise, grid, monkeypatch)
        off = ((ours - theirs).abs().max() / ours.abs().max()).item()
        print(spec, len(grid), off, made.remark)  # shown by -rP
        assert off < WITHIN, (len(grid), off, made.code)
        assert bool(made.remark) == (sampler.stochastic or "ROWS" in made.code)


@pytest.mark.parametrize("spec", MOVED)
def test_samples_of_fitted_coefficients_are_ours(monkeypatch, spec):
    noise = SampleNoise(1, torch.arange(10), (2,), torch.float64)
    for given in (one for one in GRIDS if one.to_zero and len(one) > 1):
        sampler, grid = moved(spec, given)
        ours = sampler.sample(PROBLEM, grid.sigma[0] * noise.initial(), grid, NoNoise())
        made = export("k-diffusion", sampler, grid, MODEL, "gmm-2d")
        theirs = pasted(made.code, noise, grid, monkeypatch)
        assert ((ours - theirs).abs().max() / ours.abs().max()).item() < WITHIN
        assert "ROWS" in made.code
