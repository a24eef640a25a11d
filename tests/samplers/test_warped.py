"""The warped coordinate, its grids, and the default sampler that is built on them."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import NoNoise, SampleNoise, karras, make
from samplerbench.samplers.families.warp import Warp

LEVELS = st.floats(1e-3, 1e3)


@given(sigma=LEVELS, scale=st.floats(0.05, 2), power=st.floats(0.5, 3), exponent=st.floats(0.15, 1))
def test_the_inverse_undoes_the_warp(sigma, scale, power, exponent):
    warp = Warp(scale, power, exponent)
    assert warp.inverse(warp(sigma)) == pytest.approx(sigma, rel=1e-6)


@given(sigma=LEVELS)
def test_power_two_is_the_time_of_a_linear_variance_preserving_process(sigma):
    """With beta_min = 0, log(1 + sigma²) = beta_d t² / 2."""
    assert Warp(1.0, 2.0, 0.5)(sigma) == pytest.approx(math.sqrt(math.log1p(sigma**2)), rel=1e-12)


@given(
    n=st.integers(1, 60), low=st.floats(1e-4, 0.05), high=st.floats(1.0, 1e4), to_zero=st.booleans()
)
@settings(deadline=None)
def test_grids_have_equal_steps_the_right_ends_and_no_level_below_sigma_min(n, low, high, to_zero):
    warp = Warp(0.2, 1.2, 0.5)
    grid = warp.grid(n, low, high, to_zero=to_zero)
    assert len(grid) == n
    assert grid.sigma[0] == high
    assert grid.sigma[-1] == (0 if to_zero else low)
    positive = [s for s in grid.sigma if s > 0]
    assert min(positive) >= low * (1 - 1e-9)
    steps = [warp(a) - warp(b) for a, b in pairwise(positive)]
    assert steps == pytest.approx([sum(steps) / max(1, len(steps))] * len(steps), rel=1e-6)


def test_auto_is_warped_ab_4_on_its_own_levels():
    grid = karras(8, 0.002, 80.0)
    auto, method = (
        make("auto"),
        make(
            {"name": "warped_ab_4", "analytic_first": True, "deferred": True, "through_zero": True}
        ),
    )
    x = 80.0 * SampleNoise(0, torch.arange(5), (2,), torch.float64).initial()
    problem = ThreeModes()
    own = auto.levels(grid)
    assert torch.equal(
        auto.sample(problem, x, grid, NoNoise()), method.sample(problem, x, own, NoNoise())
    )
    assert (len(own), own.sigma[0], own.sigma[-1]) == (9, 80.0, 0.0)
    assert auto.nfe(grid) == method.nfe(own) == 8


def test_auto_depends_on_the_ends_of_the_grid_only():
    ends = [make("auto").levels(karras(8, 0.002, 80.0, rho=rho)) for rho in (2.0, 7.0)]
    assert ends[0] == ends[1]


def test_auto_takes_no_analytic_step_where_the_data_are_visible():
    grid = karras(6, 0.02, 5.0)
    assert len(make("auto").levels(grid)) == 6
    assert make("auto").levels(karras(1, 0.02, 80.0)).sigma == (80.0, 0.0)


@pytest.mark.parametrize(("budget", "rival"), [(8, "dpmpp_2m"), (16, "dpmpp_2m"), (31, "heun")])
def test_auto_is_well_ahead_of_the_usual_defaults(budget, rival):
    problem = ThreeModes()
    x = 80.0 * SampleNoise(0, torch.arange(200), (2,), torch.float64).initial()
    steps = {"dpmpp_2m": budget, "heun": (budget + 1) // 2}[rival]
    truth = make("dpmpp_3m").sample(problem, x, karras(3000, 0.002, 80.0), NoNoise())
    errors = {
        name: float(
            (make(name).sample(problem, x, karras(n, 0.002, 80.0), NoNoise()) - truth)
            .norm(dim=1)
            .median()
        )
        for name, n in (("auto", budget), (rival, steps))
    }
    assert errors["auto"] < errors[rival] / 3


@pytest.mark.parametrize("bad", [{"knee": 0.0}, {"scale": -1.0}, {"power": 0.0}, {"exponent": 0.0}])
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="0"):
        make({"name": "warped_ab_3", **bad})
