"""Churned and ancestral samplers against k-diffusion, step for step, from the same noise."""

import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import Grid, karras, make

pytestmark = pytest.mark.parity
STEPS, BATCH = 8, 6


def normals(seed, *shape):
    return torch.randn(
        *shape, BATCH, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


class Draws:
    """One normal tensor a step, given out call by call to the peer, and by step here."""

    def __init__(self):
        self.z, self.calls = normals(3, STEPS), 0

    def __call__(self, *levels):
        self.calls += 1
        return self.z[self.calls - 1]

    def at(self, step, cur, nxt):
        return lambda draw=0, *, cur=None, nxt=None: self.z[step]


def theirs(function, x, grid, **options):
    """``function`` of the peer."""
    denoise = ThreeModes()
    model = lambda x, sigma: denoise(x, float(sigma[0]))  # noqa: E731
    return function(
        model, x.clone(), torch.tensor(grid.sigma, dtype=torch.float64), disable=True, **options
    )


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(
    "options",
    [{"eta": 0.0}, {"eta": 0.5}, {"eta": 1.0}, {"eta": 1.02}, {"eta": 1.0, "s_noise": 1.01}],
    ids=str,
)
@pytest.mark.parametrize("name", ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral"])
def test_ancestral(peer, name, options, to_zero):
    grid, x = karras(STEPS, 0.05, 20.0, to_zero=to_zero), 20.0 * normals(4)
    expected = theirs(getattr(peer, f"sample_{name}"), x, grid, noise_sampler=Draws(), **options)
    found = make({"name": name, **options}).sample(ThreeModes(), x, grid, Draws())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(
    "options", [{"churn": 0.0}, {"churn": 2.0}, {"churn": 40.0, "s_noise": 1.003}], ids=str
)
@pytest.mark.parametrize(
    ("name", "function"),
    [("euler_churn", "sample_euler"), ("edm_stochastic", "sample_heun"), ("dpm_2", "sample_dpm_2")],
)
def test_churn(peer, monkeypatch, name, function, options, to_zero):
    grid, x = karras(STEPS, 0.01, 80.0, to_zero=to_zero), 80.0 * normals(4)
    sampler = make({"name": name, "s_noise": 1.0, **options})
    monkeypatch.setattr(peer.torch, "randn_like", Draws())
    churn = {
        "s_churn": sampler.churn,
        "s_tmin": sampler.s_min,
        "s_tmax": sampler.s_max,
        "s_noise": sampler.s_noise,
    }
    expected = theirs(getattr(peer, function), x, grid, **churn)
    torch.testing.assert_close(
        sampler.sample(ThreeModes(), x, grid, Draws()), expected, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("name", ["dpm_2_ancestral", "dpmpp_2s_ancestral"])
def test_a_known_difference_where_the_noise_is_cut_off(peer, name):
    """At down = 0 < nxt the peer's dpm_2_ancestral adds no noise, and its state is not at the
    level nxt; here it is x <- d + nxt z.
    """
    grid, x, eta = Grid((20.0, 5.0)), 20.0 * normals(4), 3.0
    expected = theirs(getattr(peer, f"sample_{name}"), x, grid, noise_sampler=Draws(), eta=eta)
    lacking = 5.0 * Draws().z[0] if name == "dpm_2_ancestral" else 0.0
    found = make({"name": name, "eta": eta}).sample(ThreeModes(), x, grid, Draws())
    torch.testing.assert_close(found, expected + lacking, rtol=0, atol=1e-12)
