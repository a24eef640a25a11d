"""Intervals of squared distances: against the inequality that defines them, and against draws of exactly known noise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics.score_interval import score_interval

sizes = st.floats(1e-6, 1e6)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(-1e3, 1e6), sizes, st.floats(0, 1e6), st.floats(0.5, 4))
def test_a_distance_is_inside_where_its_own_error_explains_the_value(value, at_zero, slope, z):
    low, high = score_interval(value, at_zero, slope, z)
    assert 0 <= low <= high
    for end in (low, high):
        if end > 0 and low < high:
            scale = z**2 * (at_zero + slope * end)
            assert (value - end) ** 2 == pytest.approx(scale, rel=1e-4, abs=1e-9 * max(value**2, end**2))
    if low < value < high and low > 0:
        assert value - low < high - value or slope == pytest.approx(0, abs=1e-3)  # longer upwards, where errors are larger


def test_without_slope_it_is_the_usual_interval():
    assert score_interval(5.0, 4.0, 0.0, 2.0) == (1.0, 9.0)


@pytest.mark.parametrize(("value", "high"), [(-3.0, 1.0), (-9.0, 0.0)])
def test_it_ends_at_zero(value, high):
    assert score_interval(value, 4.0, 0.0, 2.0) == (0.0, high)


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("rank", [2, 20])
def test_it_covers_where_the_usual_one_does_not(distance, rank):
    """V = |delta + u|² - tr C with u ~ N(0, I / rank): both variances known, the usual interval's error being that at V."""
    rng = np.random.default_rng(7)
    delta = np.zeros(rank)
    delta[0] = distance
    values = np.square(delta + rng.standard_normal((20_000, rank)) / math.sqrt(rank)).sum(1) - 1
    at_zero, slope = 2 / rank, 4 / rank
    ends = np.array([score_interval(value, at_zero, slope) for value in values])
    inside = np.mean((ends[:, 0] <= distance**2) & (distance**2 <= ends[:, 1]))
    assert 0.935 <= inside <= 0.975
    usual = np.mean(np.abs(values - distance**2) <= 1.96 * np.sqrt(at_zero + slope * np.maximum(values, 0)))
    assert abs(inside - 0.95) <= abs(usual - 0.95) + 0.005
