"""Sampling with few-step maps, by exact ones: the flow to the end of the path, in closed form."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.models.exact.wavelet import transport_mixture
from samplerbench.samplers import Grid, SampleNoise, karras, make

LOW = 0.002
WEIGHTS, MEANS, WIDTH = np.array([0.3, 0.7]), np.array([-1.0, 0.5]), 0.2


def latents(n: int, top: float) -> tuple[SampleNoise, torch.Tensor]:
    noise = SampleNoise(3, torch.arange(n), (1,), torch.float64)
    return noise, top * noise.initial()


def jump(x, sigma):
    """Of a mixture on a line: the end of the flow has the quantile that the state has."""
    stds = np.full((2, 1), np.hypot(WIDTH, sigma)), np.full((2, 1), np.hypot(WIDTH, LOW))
    moved = transport_mixture(x.numpy(), WEIGHTS[:, None], MEANS[:, None], *stds)
    return torch.from_numpy(moved)


def distribution(x):
    std = np.hypot(WIDTH, LOW)
    return sum(w * norm.cdf((x - m) / std) for w, m in zip(WEIGHTS, MEANS, strict=True))


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_an_exact_map_gives_samples_of_the_data_in_any_number_of_steps(steps):
    noise, x = latents(10_000, 80.0)
    end = make("consistency").sample(jump, x, karras(steps, LOW, 80.0), noise)
    assert kstest(end.numpy().ravel(), distribution).pvalue > 0.01


def test_an_ode_method_does_not_on_the_same_map():
    """It takes the end of the path for a mean, and overshoots."""
    _, x = latents(2000, 80.0)
    end = make("heun").sample(jump, x, karras(5, LOW, 80.0))
    assert kstest(end.numpy().ravel(), distribution).pvalue < 1e-6


def test_one_step_is_the_jump():
    noise, x = latents(8, 80.0)
    end = make("consistency").sample(jump, x, Grid((80.0, 0.0)), noise)
    assert torch.equal(end, jump(x, 80.0))


def test_a_jump_and_fresh_noise_is_ancestral_sampling_with_all_the_noise():
    """Down to 0 and up to the next level: what is left of low² is below rounding."""
    noise, x = latents(8, 40.0)
    levels = (40.0, 5.0, 1.0, 0.2)
    ours = make("consistency").sample(
        ThreeModes(), torch.cat([x, -x], 1), Grid((*levels, 1e-9)), two(noise)
    )
    theirs = make("euler_ancestral", eta=1e9).sample(
        ThreeModes(), torch.cat([x, -x], 1), Grid((*levels, 0.0)), two(noise)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def two(noise: SampleNoise) -> SampleNoise:
    return SampleNoise(noise.seed, noise.ids, (2,), noise.dtype)


def test_nothing_is_evaluated_where_the_map_is_the_identity():
    sampler, asked = make("consistency"), []

    def seen(x, sigma):
        asked.append(sigma)
        return jump(x, sigma)

    grid = karras(4, LOW, 80.0)
    noise, x = latents(4, 80.0)
    sampler.sample(seen, x, grid, noise)
    assert tuple(asked) == grid.sigma[:3]
    assert sampler.nfe(grid) == 3
    assert sampler.nfe(karras(4, LOW, 80.0, to_zero=False)) == 4
    assert sampler.nfe(Grid((80.0, 0.0))) == 1
