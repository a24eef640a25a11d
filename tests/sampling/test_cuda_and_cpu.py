"""What must be the same on a GPU and on a CPU: noise to the last bit, samples to rounding."""

import pytest
import torch
from on_cuda import cuda

from samplerbench import samplers
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.sampling.shard import sample_shard
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.samplers.brownian import BrownianNoise
from samplerbench.samplers.noise import SampleNoise

IDS = torch.tensor([0, 1, 7, 511, 2**31, 2**32 - 1])
FIXED = [
    name
    for name in samplers.names()
    if not samplers.get(name).adaptive and not samplers.get(name).for_maps
]


def drawn(device):
    """Noise of every kind, on the CPU."""
    ids = IDS.to(device)
    white = SampleNoise(3, ids, (3, 5), torch.float64)
    path = BrownianNoise(3, ids, (3, 5), 80.0, 0.002, torch.float64)
    return [
        white.initial().cpu(),
        white.at(2, 5.0, 3.0)(1).cpu(),
        path.at(0, 80.0, 5.0)().cpu(),
        path.at(1, 5.0, 0.5)().cpu(),
    ]


@cuda
def test_cuda_noise_is_that_of_the_cpu_to_the_last_bit():
    for on_gpu, on_cpu in zip(drawn("cuda"), drawn("cpu"), strict=True):
        assert torch.equal(on_gpu, on_cpu)


def samples(name, model, device):
    """The first samples of a cell on a device, on the CPU."""
    suite = check_suite(
        {
            "name": "s",
            "models": [model],
            "samplers": [name],
            "steps": [6],
            "samples": 8,
            "batch_size": 8,
        },
        "s.toml",
    )
    loaded = make_model(model).to(device)
    (cell,) = plan(suite, {model: loaded}, {model: None}, device)
    shard = sample_shard(loaded, None, cell, 0, 8, device, 0, 8, lambda _: None)
    return torch.from_numpy(shard["endpoint"])


@cuda
@torch.no_grad()
@pytest.mark.parametrize("name", FIXED)
def test_cuda_samples_of_an_exact_model_are_those_of_the_cpu(name):
    torch.testing.assert_close(
        samples(name, "gmm-2d", "cuda"), samples(name, "gmm-2d", "cpu"), rtol=1e-6, atol=1e-8
    )


@cuda
@torch.no_grad()
@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m", "ddpm"])
def test_cuda_samples_of_the_shipped_network_are_those_of_the_cpu(name):
    torch.testing.assert_close(
        samples(name, "fashion", "cuda"), samples(name, "fashion", "cpu"), rtol=1e-2, atol=1e-2
    )
