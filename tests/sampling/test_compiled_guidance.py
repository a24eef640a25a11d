"""Compiled networks that give a guided and an unguided image of their own."""

import torch

from samplerbench.benchmarks.sampling import execution
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.models import Denoiser
from samplerbench.samplers import NoNoise, karras, make


class Guided(Denoiser):
    """Guidance inside the model: x / (1 + sigma^2) plus 1, away from it plus 0."""

    name, identity, event = "guided", "guided", (2,)

    def denoise(self, x, sigma, labels):
        return self.denoise_both(x, sigma, labels)[0]

    def denoise_both(self, x, sigma, labels):
        d = x / (1 + torch.as_tensor(sigma).reshape(-1, 1) ** 2)
        return d + 1, d


def test_compiled__keeps_both_images_of_a_model_that_guides_itself(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    model = Guided()
    compiled, meter = execution.Compiled(model), Meter()
    x, sampler, grid = 80 * torch.randn(3, 2), make("cfgpp"), karras(5, 0.002, 80.0)
    ids = torch.arange(3)
    eager = sampler.sample(model.bind(ids, 0), x, grid, NoNoise())
    found = sampler.sample(meter.attach(compiled).bind(ids, 0), x, grid, NoNoise())
    assert torch.allclose(found, eager)
    assert meter.calls == sampler.nfe(grid)
