"""On a GPU the host runs ahead of the device: nothing in a fixed-grid loop waits for a result."""

import pytest
import torch

from samplerbench.samplers import GridSampler, NoNoise, SampleNoise, karras, make, names

WAITS = {"predictor_corrector": "its Langevin step size is compared with zero for each sample"}
FIXED = [name for name in names() if isinstance(make(name), GridSampler) and name not in WAITS]


class Halves:
    def __call__(self, x, sigma):
        return x / 2

    def take(self, rows):
        return self


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", FIXED)
def test_the_loop_never_waits_for_the_device(name):
    sampler, grid = make(name), karras(6, 0.02, 80.0)
    noise = SampleNoise(0, torch.arange(4, device="cuda"), (8,))
    x = 80.0 * noise.initial()
    source = noise if sampler.stochastic else NoNoise()
    sampler.sample(Halves(), x, grid, source)  # the first call may set up the device
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        sampler.sample(Halves(), x, grid, source)
    finally:
        torch.cuda.set_sync_debug_mode("default")
