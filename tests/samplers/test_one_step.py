"""Noise around single-step methods: churn before the step, ancestral noise after it."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.benchmarks.conformance.moments import ImpulseNoise, check_moments
from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import (
    Grid,
    LinearStages,
    NoNoise,
    SampleNoise,
    Source,
    integrate,
    karras,
    make,
)
from samplerbench.samplers.families.noisy_stages import AncestralStages
from samplerbench.samplers.families.stages import Churned

GRID = karras(9, 0.02, 40.0)
CHURNED = ["edm_stochastic", "euler_churn", "dpm_2"]
ANCESTRAL = ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral"]
VARIANCE = 0.25


def run(spec, grid=GRID):
    noise, sampler, problem = (
        SampleNoise(1, torch.arange(6), (2,), torch.float64),
        make(spec),
        ThreeModes(),
    )
    return sampler.sample(
        problem, noise.initial() * grid.sigma[0], grid, noise if sampler.stochastic else NoNoise()
    )


@each(
    ("one", "other"),
    [
        ({"name": "euler_ancestral", "eta": 0.0}, "euler"),
        ({"name": "euler_ancestral", "eta": 0.4}, {"name": "ddim", "eta": 0.4}),
        ("euler_ancestral", "ddpm"),
        ("dpm_2", "dpm_solver_2"),
        ({"name": "dpm_2_ancestral", "eta": 0.0}, "dpm_2"),
        ({"name": "dpmpp_2s_ancestral", "eta": 0.0}, "dpmpp_2s"),
        ({"name": "euler_churn", "churn": 0.0}, "euler"),
        ({"name": "edm_stochastic", "churn": 0.0}, "heun"),
    ],
    ids=str,
)
def test_one_step__twins(one, other):
    torch.testing.assert_close(run(one), run(other), rtol=0, atol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Exact(LinearStages):
    """The exact flow of data N(0, VARIANCE): x <- x sqrt((v + nxt²) / (v + cur²)), after an
    evaluation that counts for nothing.
    """

    name = "exact"
    source = Source("", "", "")
    order = 1

    def update(self, x, denoise, cur, nxt):
        return math.sqrt((VARIANCE + nxt**2) / (VARIANCE + cur**2)) * x + 0.0 * denoise(x, cur)


@dataclass(frozen=True, kw_only=True)
class ExactAncestral(AncestralStages):
    name = "exact_ancestral"
    source = Source("", "", "")
    solver = Exact()


@dataclass(frozen=True, kw_only=True)
class ExactChurned(Churned, Exact):
    name = "exact_churned"
    solver_order = 1


LEVELS = st.lists(st.floats(0.01, 80.0), min_size=2, max_size=6, unique=True).map(
    lambda s: Grid(tuple(sorted(s, reverse=True)))
)


def variance(sampler, grid):
    """That of one coordinate at the end, from the exact variance at the start."""
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)

    def end(x, key):
        draws = ImpulseNoise(lambda asked: one if asked == key else zero)
        return float(
            integrate(sampler, lambda y, sigma: torch.zeros_like(y), x, grid, draws)
        ), list(draws.keys)

    start, asked = end(math.sqrt(VARIANCE + grid.sigma[0] ** 2) * one, None)
    return start**2 + sum(end(zero, key)[0] ** 2 for key in asked)


@given(LEVELS, st.floats(0.0, 1.0))
def test_ancestral_noise_around_an_exact_step_leaves_the_distribution_exact(grid, eta):
    assert variance(ExactAncestral(eta=eta), grid) == pytest.approx(
        VARIANCE + grid.sigma[-1] ** 2, rel=1e-9
    )


@given(LEVELS, st.floats(0.0, 100.0))
def test_churn_before_an_exact_step_leaves_the_distribution_exact(grid, churn):
    sampler = ExactChurned(churn=churn, s_min=0.1, s_max=20.0, s_noise=1.0)
    assert variance(sampler, grid) == pytest.approx(VARIANCE + grid.sigma[-1] ** 2, rel=1e-9)


@given(st.floats(0.02, 80.0), st.floats(1e-3, 0.999), st.floats(0.0, 3.0))
def test_the_level_after_an_ancestral_step_is_the_next_one(cur, ratio, eta):
    """With d constant, x - d shrinks to down / cur whatever the method, and noise restores nxt."""
    for name in ANCESTRAL:
        end = make({"name": name, "eta": eta}).row(cur, ratio * cur).end
        assert math.hypot(end.a * cur, *end.c) == pytest.approx(ratio * cur, rel=1e-9)
        assert end.a + sum(end.b) == pytest.approx(1, abs=1e-9)


@given(st.floats(0.0, 100.0), st.integers(1, 50))
def test_churn_raises_the_level_by_the_noise_it_adds(churn, steps):
    grid = karras(steps, 0.02, 80.0)
    for name in CHURNED:
        sampler = make({"name": name, "churn": churn, "s_noise": 1.0})
        for row, (cur, _) in zip(sampler.plan(grid), grid.intervals(), strict=True):
            assert math.hypot(cur, row.before) == pytest.approx(row.stages[0].sigma, rel=1e-12)
            gamma = min(churn / steps, math.sqrt(2) - 1) if 0.05 <= cur <= 50 else 0.0
            assert row.stages[0].sigma == pytest.approx(cur * (1 + gamma), rel=1e-12)


@pytest.mark.parametrize("name", ANCESTRAL)
def test_more_ancestral_noise_than_the_next_level_is_cut_off(name):
    """At up = nxt nothing of the state is left: x <- d + nxt z."""
    x, z = (
        torch.ones(2, 2, dtype=torch.float64),
        torch.tensor([[1.0, -2.0], [0.5, 0.0]], dtype=torch.float64),
    )
    end = make({"name": name, "eta": 5.0}).sample(
        ThreeModes(), x, Grid((2.0, 1.5)), ImpulseNoise(lambda key: z)
    )
    torch.testing.assert_close(end, ThreeModes()(x, 2.0) + 1.5 * z, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("spec", "order"),
    [
        ({"name": "euler_churn", "churn": 2.0}, 1),
        ({"name": "edm_stochastic", "churn": 5.0, "s_noise": 1.0}, 2),
        ({"name": "dpm_2", "churn": 5.0}, 2),
        ({"name": "dpm_2_ancestral", "eta": 0.5}, 2),
        ({"name": "dpmpp_2s_ancestral", "eta": 0.5}, 2),
        ({"name": "euler_ancestral", "eta": 0.5}, 1),
    ],
    ids=str,
)
def test_the_weak_order_is_that_of_the_method(spec, order):
    sampler = make(spec)
    assert sampler.order == order
    assert all(check.passed for check in check_moments(sampler))


@pytest.mark.parametrize("name", [*CHURNED, *ANCESTRAL])
def test_inflated_noise_has_no_order(name):
    churn = {"churn": 2.0} if name in CHURNED else {}
    assert make({"name": name, **churn, "s_noise": 1.0}).order is not None
    assert make({"name": name, **churn, "s_noise": 1.01}).order is None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            {"name": "edm_stochastic", "s_noise": 0.0},
            "edm_stochastic: need .*s_noise > 0 .*; churn = 0 is the deterministic method",
        ),
        ({"name": "euler_churn", "churn": 0.0, "s_noise": 0.0}, "need .*s_noise > 0"),
        ({"name": "euler_churn", "churn": -1.0}, "euler_churn: need churn >= 0"),
        ({"name": "euler_churn", "churn": math.nan}, "euler_churn: need churn >= 0"),
        ({"name": "reab_2", "scale": math.inf}, "scale must be positive"),
        ({"name": "deis_tab_2", "beta_d": math.inf}, "need beta_d >= 0"),
        ({"name": "warped_ab_2", "knee": math.inf}, "knee and spread must be positive"),
        ({"name": "dpm_2", "s_min": 2.0, "s_max": 1.0}, "dpm_2: need .* s_min <= s_max"),
        ({"name": "euler_ancestral", "eta": -0.1}, "euler_ancestral: eta must be >= 0"),
        (
            {"name": "dpm_2_ancestral", "s_noise": 0.0},
            "dpm_2_ancestral: s_noise must be > 0 .* set eta = 0",
        ),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make(spec)


@pytest.mark.parametrize("name", ANCESTRAL)
def test_a_strong_order_is_claimed_for_the_reverse_sde_only(name):
    assert make(name).strong_order == 1
    assert make({"name": name, "eta": 0.5}).strong_order is None
    assert make({"name": name, "s_noise": 1.01}).strong_order is None
