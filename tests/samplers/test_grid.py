"""Grids and schedules: their ends, their order, and the limits that connect them."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.models.process import VE, Cosine, RectifiedFlow, VPLinear
from samplerbench.samplers import Grid, karras, uniform_lambda, uniform_time

steps = st.integers(1, 60)
lows = st.floats(1e-3, 0.5)
highs = st.floats(1.0, 1e4)


def schedules():
    return {
        "karras": karras,
        "uniform_lambda": uniform_lambda,
        "vp": lambda *args, **kw: uniform_time(*args, process=VPLinear(), **kw),
        "quadratic": lambda *args, **kw: uniform_time(*args, process=VPLinear(), power=2.0, **kw),
        "cosine": lambda *args, **kw: uniform_time(*args, process=Cosine(), **kw),
        "flow": lambda *args, **kw: uniform_time(*args, process=RectifiedFlow(), **kw),
    }


@pytest.mark.parametrize("name", schedules())
@given(n=steps, low=lows, high=highs, to_zero=st.booleans())
def test_a_schedule_falls_strictly_between_its_ends(name, n, low, high, to_zero):
    grid = schedules()[name](n, low, min(high, 100.0), to_zero=to_zero)
    assert len(grid) == grid.steps == n == len(grid.intervals())
    assert all(nxt < cur for cur, nxt in grid.intervals())
    assert grid.sigma[0] == min(high, 100.0)
    assert grid.to_zero == to_zero
    if not to_zero:
        assert grid.sigma[-1] == low
    elif n > 1:
        assert grid.sigma[-2:] == (low, 0.0)


@pytest.mark.parametrize("name", schedules())
def test_one_step_is_the_jump(name):
    assert schedules()[name](1, 0.01, 80.0).sigma == (80.0, 0.0)
    assert schedules()[name](1, 0.01, 80.0, to_zero=False).sigma == (80.0, 0.01)


@given(n=steps, low=lows, high=highs)
def test_karras_tends_to_uniform_lambda(n, low, high):
    far, limit = (
        karras(n, low, high, rho=1e5, to_zero=False),
        uniform_lambda(n, low, high, to_zero=False),
    )
    assert far.sigma == pytest.approx(limit.sigma, rel=1e-3)


@given(n=steps, low=lows, high=highs)
def test_rho_one_is_uniform_in_sigma(n, low, high):
    sigma = karras(n, low, high, rho=1.0, to_zero=False).sigma
    assert sigma == pytest.approx([high + (low - high) * i / n for i in range(n + 1)])


@given(n=steps, low=lows, high=highs)
def test_steps_in_lambda_are_equal(n, low, high):
    lam = uniform_lambda(n, low, high, to_zero=False).lam
    assert [b - a for a, b in pairwise(lam)] == pytest.approx(
        [math.log(high / low) / n] * n, rel=1e-9
    )


def test_time_of_the_exploding_process_is_its_level():
    assert uniform_time(7, 0.01, 50.0, process=VE()).sigma == pytest.approx(
        karras(7, 0.01, 50.0, rho=1.0).sigma
    )


def test_lambda_of_zero_is_infinite():
    assert Grid((2.0, 0.5, 0.0)).lam == (-math.log(2), math.log(2), math.inf)


@each(
    ("levels", "reason"),
    [
        ((1.0,), "at least two"),
        ((1.0, 1.0), "fall strictly"),
        ((1.0, 2.0), "fall strictly"),
        ((1.0, 0.0, 0.0), "fall strictly"),
        ((1.0, -0.1), "stay >= 0"),
        ((math.inf, 1.0), "finite"),
        ((1.0, math.nan), "finite"),
    ],
)
def test_grid__wrong_levels_are_refused(levels, reason):
    with pytest.raises(ValueError, match=reason):
        Grid(levels)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: karras(0, 0.1, 1.0), "at least 1 step"),
        (lambda: karras(3, 1.0, 0.1), "sigma_min < sigma_max"),
        (lambda: uniform_lambda(3, 0.0, 1.0), "0 < sigma_min"),
        (lambda: karras(3, 0.1, 1.0, rho=0.0), "rho"),
        (lambda: uniform_time(3, 0.1, 1.0, process=VE(), power=-1.0), "power"),
    ],
)
def test_wrong_schedules_are_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
