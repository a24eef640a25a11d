"""The stochastic DPM-Solver++ family against k-diffusion, step for step, from the same noise."""

import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import Grid, karras, make

pytestmark = pytest.mark.parity
STEPS, BATCH = 8, 6


class Draws:
    """A fixed sequence of normals, given out call by call to the peer, and by (step, draw) here."""

    def __init__(self, per_step):
        self.z = torch.randn(
            STEPS * per_step,
            BATCH,
            2,
            dtype=torch.float64,
            generator=torch.Generator().manual_seed(3),
        )
        self.per_step, self.calls = per_step, 0

    def __call__(self, sigma, sigma_next):
        self.calls += 1
        return self.z[self.calls - 1]

    def at(self, step, cur, nxt):
        return lambda draw=0, *, cur=None, nxt=None: self.z[step * self.per_step + draw]


def theirs(function, draws, x, grid, **options):
    """``function`` of the peer."""
    denoise = ThreeModes()
    model = lambda x, sigma: denoise(x, float(sigma[0]))  # noqa: E731
    sigmas = torch.tensor(grid.sigma, dtype=torch.float64)
    return function(model, x, sigmas, disable=True, noise_sampler=draws, **options)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(
    ("spec", "function", "options", "per_step"),
    [
        ({"name": "dpmpp_sde"}, "sample_dpmpp_sde", {}, 2),
        ({"name": "dpmpp_sde", "r": 0.3}, "sample_dpmpp_sde", {"r": 0.3}, 2),
        ({"name": "dpmpp_2m_sde"}, "sample_dpmpp_2m_sde", {"solver_type": "midpoint"}, 1),
        (
            {"name": "dpmpp_2m_sde", "solver_type": "heun"},
            "sample_dpmpp_2m_sde",
            {"solver_type": "heun"},
            1,
        ),
        ({"name": "dpmpp_3m_sde_published"}, "sample_dpmpp_3m_sde", {}, 1),
    ],
    ids=str,
)
def test_the_same_samples(peer, spec, function, options, per_step, to_zero, eta):
    grid = karras(STEPS, 0.05, 20.0, to_zero=to_zero)
    x = 20.0 * torch.randn(
        BATCH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )
    expected = theirs(getattr(peer, function), Draws(per_step), x.clone(), grid, eta=eta, **options)
    found = make({**spec, "eta": eta}).sample(ThreeModes(), x, grid, Draws(per_step))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", ["sample_dpmpp_2m_sde", "sample_dpmpp_3m_sde"])
def test_the_peer_fails_where_the_only_step_goes_to_zero(peer, function):
    """A known difference: here, one step to 0 is the denoised image."""
    with pytest.raises(UnboundLocalError):
        theirs(
            getattr(peer, function),
            Draws(1),
            torch.ones(BATCH, 2, dtype=torch.float64),
            Grid((20.0, 0.0)),
        )
