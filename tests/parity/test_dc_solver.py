"""Dynamic compensation against the authors' sampler, where $SAMPLERBENCH_PEERS names the folder of a
clone of DC-Solver.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from samplerbench.models.process import VPLinear
from samplerbench.samplers import Grid, make
from samplerbench.samplers.families.tabulated import (
    Tabulated,
    apply_dynamic_compensation,
    correction_weights,
    tabulate,
)
from samplerbench.samplers.peers.locate import import_without_package

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]
FIRST = 1e-3


@pytest.fixture(scope="module")
def peer():
    clone = Path(os.environ.get("SAMPLERBENCH_PEERS", "")) / "DC-Solver"
    folder = clone / "stable-diffusion/ldm/models/diffusion/dc_solver"
    if not folder.is_dir():
        pytest.skip("there is no clone of DC-Solver in $SAMPLERBENCH_PEERS")
    return import_without_package(folder, "dc_solver")


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def image(x, sigma):
    """A denoised image that is not linear in the state."""
    return torch.tanh(x / (1 + sigma)) + 0.3 * torch.sin(x / (0.2 + sigma))


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("steps", [3, 5, 9])
def test_the_same_samples(peer, steps, variant):
    schedule, process = peer.NoiseScheduleVP("linear"), VPLinear()
    ratios = np.random.default_rng(steps).uniform(0.5, 1.5, steps - 2).tolist()
    times = np.linspace(1.0, FIRST, steps + 1)
    x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))

    def noise(state, t):
        alpha, sigma = schedule.marginal_alpha(t[:1]), schedule.marginal_std(t[:1])
        return (state - alpha * image(state / alpha, sigma / alpha)) / sigma

    theirs = peer.DCSolver(noise, schedule, variant=variant).sample(
        x, steps=steps, t_end=FIRST, order=3, method="multistep", dc_ratios=[1.0, 1.0, *ratios]
    )
    grid = Grid(tuple(process.level(times).tolist()))
    sampler = make(f"unipc_3(last=(2, 1), variant='{variant}')")
    corrections = correction_weights(sampler, grid)
    table = apply_dynamic_compensation(
        tabulate(sampler, grid), corrections, times[:-1].tolist(), ratios
    )
    ends = process.alpha(1.0), process.alpha(FIRST)
    found = Tabulated(stands_for=sampler, table=table).sample(image, x / ends[0], grid) * ends[1]
    plain = sampler.sample(image, x / ends[0], grid) * ends[1]
    difference = (found - theirs).abs().max()
    print(
        f"largest difference: {difference:.1e}, without ratios {(plain - theirs).abs().max():.1e}"
    )
    assert difference < 1e-13 < 1e-3 < (plain - theirs).abs().max()
