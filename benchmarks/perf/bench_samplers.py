"""Benchmarks of samplers without a network: one step and whole calls, with a free denoiser.

The yardstick is ``axpy2``: two fused passes over the state in place, which every first-order method
needs at least.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from samplerbench import samplers
from samplerbench.samplers import NoNoise, SampleNoise, karras
from samplerbench.samplers.buffers import reuse_buffers

EVENT, BATCH, STEPS = (3, 32, 32), 64, 50
FIXED = [
    name
    for name in samplers.names()
    if not samplers.make(name).adaptive and not name.startswith("torchdiffeq")
]


class Free:
    """Denoiser that always returns the same tensor, and so takes no network time."""

    def __init__(self, d: Tensor) -> None:
        self.d = d

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:  # noqa: ARG002
        return self.d

    def take(self, rows: Tensor) -> Free:
        return Free(self.d[rows])


@pytest.fixture
def state() -> Tensor:
    return torch.randn(BATCH, *EVENT, generator=torch.Generator().manual_seed(0))


def test_axpy2(benchmark, state: Tensor) -> None:
    benchmark.group = "step"
    other = torch.randn_like(state)
    benchmark(lambda: state.mul_(0.5).add_(other, alpha=0.5))


@pytest.mark.parametrize("name", FIXED)
def test_step(benchmark, state: Tensor, name: str) -> None:
    benchmark.group = "step"
    sampler, denoise = samplers.make(name), Free(torch.zeros_like(state))
    noise = (
        SampleNoise(0, torch.arange(BATCH), EVENT).at(0, 1.0, 0.5)
        if sampler.stochastic
        else NoNoise().at(0, 1.0, 0.5)
    )
    row = sampler.plan(karras(STEPS, 0.002, 80.0))[STEPS // 2]
    past = tuple(torch.zeros_like(state) for _ in range(sampler.history))
    with reuse_buffers():  # as in a run
        benchmark(lambda: sampler.step(state, row, past, denoise, noise))


@pytest.mark.parametrize("name", FIXED)
def test_sample(benchmark, state: Tensor, name: str) -> None:
    benchmark.group = f"sample, {STEPS} steps"
    sampler, denoise, grid = (
        samplers.make(name),
        Free(torch.zeros_like(state)),
        karras(STEPS, 0.002, 80.0),
    )
    noise = SampleNoise(0, torch.arange(BATCH), EVENT) if sampler.stochastic else NoNoise()
    benchmark.pedantic(
        lambda: sampler.sample(denoise, state, grid, noise), rounds=5, warmup_rounds=1
    )


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m", "ipndm"])
def test_plan(benchmark, name: str) -> None:
    benchmark.group = f"plan, {STEPS} steps"
    sampler, grid = samplers.make(name), karras(STEPS, 0.002, 80.0)
    benchmark(lambda: sampler.plan(grid))
