"""Multistep methods that begin with single steps: of the whole order as they are shipped, and
counted as what they cost.
"""

import math

import pytest
import torch
from exact_steps import apart, grid_of, latents
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.benchmarks.conformance.order import slope
from samplerbench.benchmarks.conformance.problems import INTERIOR, RecordingDenoiser, ThreeModes
from samplerbench.samplers import LinearRow, NoNoise, StartRow, karras, make

FAMILIES = ["zab", "deis_tab", "vab", "zeab", "xeab", "reab", "warped_ab"]
STEPS = st.lists(st.floats(0.05, 1.5), min_size=1, max_size=6)
GRID = karras(8, 0.02, 40.0)


def single(name, **options):
    return make({"name": name, "startup": "singlestep", **options})


def run(sampler, grid, denoise=None):
    return sampler.sample(denoise or ThreeModes(), latents(grid.sigma[0]), grid, NoNoise())


class Moving:
    """d = lam², whatever x is: then dx/dlam = lam² - x, and x = lam² - 2 lam + 2 + C e^-lam."""

    def __call__(self, x, sigma):
        return torch.full_like(x, math.log(sigma) ** 2)

    def take(self, rows):
        return self

    def flow(self, x, grid):
        first, last = grid.lam[0], grid.lam[-1]
        return last**2 - 2 * last + 2 + (x - first**2 + 2 * first - 2) * math.exp(first - last)


PROBLEM, COUNTS = ThreeModes(), (60, 120, 240)


def slope_as_shipped(sampler):
    """Of the error, with no exact start values."""
    errors = []
    for n in COUNTS:
        end = sampler.sample(
            PROBLEM, PROBLEM.start.clone(), karras(n, *INTERIOR, to_zero=False), NoNoise()
        )
        errors.append(float((end - PROBLEM.truth(INTERIOR[0])).square().mean().sqrt()))
    return slope(COUNTS, errors)


@each("points", [2, 3, 4])
@each("family", FAMILIES)
def test_startup__the_whole_order_without_exact_start_values(family, points):
    assert slope_as_shipped(single(f"{family}_{points}")) == pytest.approx(points, abs=0.25)


@pytest.mark.parametrize(
    ("name", "order"), [("dpmpp_2m", 2), ("dpmpp_3m", 3), ("dpmpp_3m_published", 2), ("res_3m", 3)]
)
def test_the_whole_order_of_the_named_methods(name, order):
    assert slope_as_shipped(single(name)) == pytest.approx(order, abs=0.25)


def test_a_ramp_caps_the_order():
    assert slope_as_shipped(make("xeab_4")) < 2.25


@given(steps=STEPS)
def test_entries_that_a_parabola_describes_are_followed_from_the_first_step_on(steps):
    grid = grid_of(steps)
    exact = Moving().flow(latents(grid.sigma[0]), grid)
    assert apart(run(single("xeab_3"), grid, Moving()), exact) < 1e-11
    assert apart(run(make("xeab_3"), grid, Moving()), exact) > 1e-6


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("dpmpp_2m", "dpmpp_2s"),
        ("dpm_solver_2m", "dpm_solver_2"),
        ("xeab_2", {"name": "res_2s", "c2": 0.5}),
    ],
    ids=str,
)
@given(h=st.floats(0.05, 3.0))
def test_the_first_step_is_the_published_single_step_method(name, twin, h):
    grid = grid_of([h])
    assert apart(run(single(name), grid), run(make(twin), grid)) < 1e-12


@pytest.mark.parametrize("name", ["zab_3", "vab_4", "xeab_4", "dpmpp_2m"])
@given(n=st.integers(1, 9), to_zero=st.booleans())
def test_evaluations_are_counted_as_they_are(name, n, to_zero):
    sampler, grid = single(name), karras(n, 0.02, 40.0, to_zero=to_zero)
    recorder = RecordingDenoiser(ThreeModes())
    assert torch.isfinite(run(sampler, grid, recorder)).all()
    highest = min(sampler.order, 3)
    extra = (highest - 1) * min(highest - 1, n - int(to_zero))
    assert len(recorder.outputs) == sampler.nfe(grid) == n + extra


def test_single_steps_last_until_there_are_entries_enough():
    assert [type(row) for row in single("vab_4").plan(GRID)] == [StartRow] * 2 + [LinearRow] * 6
    assert [type(row) for row in single("dpmpp_2m").plan(GRID)] == [StartRow] + [LinearRow] * 7
    assert single("vab_4").profile(GRID) == [3, 3, 3, 4, 4, 4, 4, 1]
    assert single("vab_4", last=(2, 1)).profile(karras(3, 0.02, 40.0, to_zero=False)) == [3, 2, 1]
    assert all(type(row) is LinearRow for row in single("zab_1").plan(GRID))


def test_a_step_through_zero_is_never_a_single_step():
    """There is no denoiser at 0 to make stages with, and the multistep formula holds there with
    the entries that there are.
    """
    grid = karras(2, 0.02, 40.0)
    start, last = single("zab_3", through_zero=True).plan(grid)
    assert (type(start), last) == (
        StartRow,
        make({"name": "zab_2", "through_zero": True}).plan(grid)[1],
    )
    grid = karras(1, 0.02, 40.0)
    assert (
        apart(run(single("zab_3", through_zero=True), grid), ThreeModes()(latents(40.0), 40.0))
        < 1e-12
    )


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m", "vab_4", "zab_3"])
def test_conformance(name):
    result = check_sampler(single(name), fast=True)
    assert result.passed, [check for check in result.checks if not check.passed]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            {"name": "xeab_3", "startup": "rk"},
            "xeab_3: startup must be 'ramp' or 'singlestep', got 'rk'",
        ),
        (
            {"name": "xeab_3", "startup": "singlestep", "first": (1, 1)},
            "leave them out with 'singlestep'",
        ),
        (
            {"name": "xeab_3", "startup": "singlestep", "analytic_first": True},
            "leave them out with 'singlestep'",
        ),
        ({"name": "ipndm", "startup": "singlestep"}, "'ipndm' has no option 'startup'"),
        ({"name": "unipc_2", "startup": "singlestep"}, "'unipc_2' has no option 'startup'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_a_sentence(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make(spec)
