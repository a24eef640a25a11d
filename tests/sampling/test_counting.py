"""Evaluations are counted at the network, below guidance; nobody computes them."""

import pytest
import torch

from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.models.denoiser import Denoiser
from samplerbench.models.registry import make_model
from samplerbench.samplers import NoNoise, karras, make


@pytest.mark.parametrize(
    ("name", "steps", "nfe"),
    [("heun", 18, 35), ("euler", 18, 18), ("dpm_solver_2", 5, 9), ("dpm_solver_3", 5, 13)],
)
def test_counts_to_sigma_zero(name, steps, nfe):
    model, meter = make_model("gmm-2d"), Meter()
    sampler, grid = make(name), karras(steps, 0.002, 80.0)
    bound = meter.attach(model).bind(torch.arange(3), 0)
    sampler.sample(bound, 80 * torch.ones(3, 2, dtype=torch.float64), grid, NoNoise())
    assert (meter.rows, meter.calls) == (3 * nfe, nfe)
    assert sampler.nfe(grid) == nfe


def test_guidance_counts_both_passes_and_one_call():
    model, meter = make_model("digits", guidance=2.0), Meter()
    assert model.passes == 2
    bound = meter.attach(model).bind(torch.arange(5), 0)
    make("euler").sample(bound, torch.zeros(5, *model.event), karras(4, 0.01, 80.0), NoNoise())
    assert (meter.rows, meter.calls) == (2 * 4 * 5, 4)


def test_repeats_and_subsets_are_counted_as_what_they_are():
    model, meter = make_model("gmm-2d"), Meter()
    bound = meter.attach(model).bind(torch.arange(3), 0)
    rows = torch.tensor([0, 0, 1, 2, 2])
    bound.take(rows)(torch.zeros(5, 2, dtype=torch.float64), 1.0)
    assert meter.rows == 5


class OwnGuidance(Denoiser):
    """A user's model that guides itself."""

    name = identity = "own"
    event, passes = (2,), 2

    def denoise(self, x, sigma, labels):
        return self.denoise_both(x, sigma, labels)[0]

    def denoise_both(self, x, sigma, labels):
        return 2 * x, x


def test_metered__a_network_with_guidance_of_its_own_keeps_both_images():
    meter, x = Meter(), torch.ones(3, 2)
    guided, free = meter.attach(OwnGuidance()).denoise_both(x, 1.0, None)
    assert torch.equal(guided, 2 * x)
    assert torch.equal(free, x)
    assert (meter.rows, meter.calls) == (6, 1)
