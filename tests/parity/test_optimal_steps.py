"""Schedule ``oss`` with Euler steps against the authors' search, where $SAMPLERBENCH_PEERS names the
folder of a clone of OptimalSteps.
"""

import os
from pathlib import Path

import pytest
import torch

from samplerbench.benchmarks.planning.oss import best_paths, coefficients_by_step
from samplerbench.models import make_model
from samplerbench.samplers import NoNoise, SampleNoise, integrate, karras, make
from samplerbench.samplers.peers.locate import import_without_package

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]
FINE, LATENTS, STEPS = 40, 6, (3, 4, 6, 8)


@pytest.fixture(scope="module")
def peer():
    folder = Path(os.environ.get("SAMPLERBENCH_PEERS", "")) / "OptimalSteps" / "OSS"
    if not folder.is_dir():
        pytest.skip("there is no clone of OptimalSteps in $SAMPLERBENCH_PEERS")
    return import_without_package(folder, "OSS")


class Velocity:
    """The velocity of a model in sigma, as the peer calls it.

    The peer may begin below the level of its noise. The velocity is not finite there, which it
    never takes.
    """

    def __init__(self, model, x, levels):
        self.model, self.x = model, x
        self.fm_steps = torch.tensor(levels[::-1], dtype=torch.float64)

    def __call__(self, z, t, _labels, _options):
        sigma = self.fm_steps[t]
        slope = (z - self.model.denoise(z, sigma, None)) / sigma[:, None]
        begins = (z[:, None] == self.x).all(-1).any(-1) & (t < len(self.fm_steps) - 1)
        return torch.where(begins[:, None], torch.nan, slope)


@pytest.mark.parametrize("name", ["gmm-2d", "gaussian"])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("search", ["search_OSS", "search_OSS_batch"])
def test_the_same_steps(peer, search, steps, name):
    model, solver = make_model(name), make("euler")
    grid = karras(FINE, model.sigma_min, model.sigma_max, to_zero=False)
    ids = torch.arange(LATENTS)
    bound = model.bind(ids, 0)
    x = model.sigma_max * SampleNoise(0, ids, model.event, model.dtype).initial()
    theirs = getattr(peer, search)(
        Velocity(model, x, grid.sigma), x, LATENTS, None, "cpu", FINE, steps
    )
    states = [x]
    integrate(solver, bound, x, grid, NoNoise(), on_step=lambda _i, _s, y: states.append(y))
    targets, row_of = torch.stack(states, 1), coefficients_by_step(solver, grid.sigma[-1])
    for i, expected in enumerate(theirs):
        known = bound.take(torch.full((FINE,), i))
        found = best_paths(known, targets[i], grid.sigma, solver, row_of, steps)[-1].path
        assert found == (*(FINE - j for j in reversed(expected)), FINE)
