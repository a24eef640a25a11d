"""On a float32 network a sample does not depend on its batch beyond the rounding of matrix
products of another shape, as far as the sampler amplifies it.
"""

import pytest
import torch

from samplerbench.models import make_model
from samplerbench.samplers import NoNoise, SampleNoise, get, karras, make, names

UNCOUPLED = [
    name for name in names() if not get(name).batch_coupled and not name.startswith("scipy")
]
ROUNDING = 1e-6
"""Standard deviation of what is added to the network's output, whose values are of the order of
one, to see how far a sampler carries it: some hundred units in the last place.
"""
SPREAD = 3.0
"""How much more another batch may move a sample than that noise does; 1.2 was the most found."""
TOLERANCE = 1e-3
"""Of adaptive samplers, whose accepted steps may change with the last bit."""


class Rounded:
    """A denoiser with noise of :data:`ROUNDING` on its output."""

    def __init__(self, denoiser):
        self.denoiser, self.generator = denoiser, torch.Generator().manual_seed(0)

    def __call__(self, x, sigma):
        d = self.denoiser(x, sigma)
        return d + ROUNDING * torch.randn(d.shape, generator=self.generator, dtype=d.dtype)

    def __getattr__(self, name):
        return getattr(self.denoiser, name)


@pytest.mark.slow
def test_samples_alone_and_in_a_batch_agree():
    model = make_model("digits")
    moved, allowed = {}, {}
    for name in UNCOUPLED:
        sampler = make(name)
        low, steps = (0.5, 2) if sampler.adaptive else (model.sigma_min, 6)
        grid = karras(steps, low, model.sigma_max)

        def first(count, wrap=lambda bound: bound, sampler=sampler, grid=grid):
            ids = torch.arange(count)
            noise = SampleNoise(0, ids, model.event)
            start = model.sigma_max * noise.initial()
            noise = noise if sampler.stochastic else NoNoise()
            with torch.no_grad():
                return sampler.sample(wrap(model.bind(ids, 0)), start, grid, noise)[0]

        alone = first(1)
        moved[name] = float((first(2) - alone).abs().max())
        allowed[name] = (
            TOLERANCE
            if sampler.adaptive
            else ROUNDING + SPREAD * float((first(1, Rounded) - alone).abs().max())
        )
        assert allowed[name] <= TOLERANCE, "one that carries rounding so far would hide a coupling"
    assert {name: value for name, value in moved.items() if not value < allowed[name]} == {}
