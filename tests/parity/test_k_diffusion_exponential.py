"""The stochastic DPM-Solver++ family against k-diffusion, step for step, from the same noise."""

import math

import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import Grid, karras, make

pytestmark = pytest.mark.parity
STEPS, BATCH = 8, 6


class Draws:
    """Increments of one path, W(sigma), a smooth function: the peer asks for them by interval as it
    asks its own Brownian tree, and ours by interval, or for the whole of a step.
    """

    def __init__(self):
        self.amplitudes = torch.randn(
            STEPS, BATCH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )

    def __call__(self, sigma, sigma_next):
        cur, nxt = float(sigma), float(sigma_next)
        waves = torch.arange(1, STEPS + 1, dtype=torch.float64)
        moved = (waves * nxt).sin() - (waves * cur).sin()
        return torch.einsum("k,kbd->bd", moved, self.amplitudes) / math.sqrt(abs(cur - nxt))

    def at(self, step, cur, nxt):
        whole = cur, nxt
        return lambda draw=0, *, cur=None, nxt=None: self(*(whole if cur is None else (cur, nxt)))


def theirs(function, draws, x, grid, **options):
    """``function`` of the peer."""
    denoise = ThreeModes()
    model = lambda x, sigma: denoise(x, float(sigma[0]))  # noqa: E731
    sigmas = torch.tensor(grid.sigma, dtype=torch.float64)
    return function(model, x, sigmas, disable=True, noise_sampler=draws, **options)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(
    ("spec", "function", "options"),
    [
        ({"name": "dpmpp_sde"}, "sample_dpmpp_sde", {}),
        ({"name": "dpmpp_sde", "r": 0.3}, "sample_dpmpp_sde", {"r": 0.3}),
        ({"name": "dpmpp_2m_sde"}, "sample_dpmpp_2m_sde", {"solver_type": "midpoint"}),
        (
            {"name": "dpmpp_2m_sde", "solver_type": "heun"},
            "sample_dpmpp_2m_sde",
            {"solver_type": "heun"},
        ),
        ({"name": "dpmpp_3m_sde_published"}, "sample_dpmpp_3m_sde", {}),
    ],
    ids=str,
)
def test_the_same_samples(peer, spec, function, options, to_zero, eta):
    grid = karras(STEPS, 0.05, 20.0, to_zero=to_zero)
    x = 20.0 * torch.randn(
        BATCH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )
    expected = theirs(getattr(peer, function), Draws(), x.clone(), grid, eta=eta, **options)
    found = make({**spec, "eta": eta}).sample(ThreeModes(), x, grid, Draws())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", ["sample_dpmpp_2m_sde", "sample_dpmpp_3m_sde"])
def test_the_peer_fails_where_the_only_step_goes_to_zero(peer, function):
    """A known difference: here, one step to 0 is the denoised image."""
    with pytest.raises(UnboundLocalError):
        theirs(
            getattr(peer, function),
            Draws(),
            torch.ones(BATCH, 2, dtype=torch.float64),
            Grid((20.0, 0.0)),
        )
