"""Intervals of squared distances: their noise against brute force over pairs, and how its parts
move the ends.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from samplerbench.benchmarks.metrics.estimators.second_order import (
    LIMIT,
    DistanceNoise,
    add_distance_noise,
    compute_distance_noise,
    end_shift,
    interval,
)
from samplerbench.results.text import Z95

exact = settings(derandomize=True, deadline=None, max_examples=30)
NONE = DistanceNoise(0.0, 0.0, 0.0)


def brute_force(
    influence: np.ndarray, c: np.ndarray, z: np.ndarray, w: np.ndarray
) -> tuple[float, float]:
    """E h², every pair by its definition and centred, and the mean of IF IF h over pairs of
    different samples.
    """
    n, k = z.shape
    h = np.zeros((n, n))
    for a in range(n):
        for b in range(n):
            first, second = np.outer(z[a], z[a]) - np.eye(k), np.outer(z[b], z[b]) - np.eye(k)
            h[a, b] = 2 * c[a] @ c[b] + np.sum(w * first * second)
    cross = sum(
        influence[a] * influence[b] * h[a, b] for a in range(n) for b in range(n) if a != b
    ) / (n * (n - 1))
    np.fill_diagonal(h, 0)
    rows, total = h.sum(axis=1), h.sum()
    # U-centring
    centred = h - rows[:, None] / (n - 2) - rows[None, :] / (n - 2) + total / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return float(np.sum(centred**2) / (n * (n - 3))), float(cross)


@pytest.mark.parametrize("d", [1, 4])
def test_noise_is_that_of_all_pairs(d: int) -> None:
    rng = np.random.default_rng(d)
    n = 30
    c, s = rng.standard_normal((n, d)), rng.uniform(0.5, 1.0, d)
    z = (c - c.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(c.T).reshape(d, d))).T
    w, influence = np.outer(s, s) / np.add.outer(s, s), rng.exponential(size=n)
    influence -= influence.mean()
    own = (
        np.sum(c**2, axis=1)
        + 0.5 * np.einsum("ij,ni,nj->n", w, z**2, z**2)
        - 0.5 * z**2 @ s
        + 0.25 * s.sum()
    )
    square, cross = brute_force(influence, c, z, w)
    found = compute_distance_noise(influence, lambda: iter([(slice(0, len(c)), c, z)]), w, own)
    # eigenvalues of w below 1e-4 of the largest are left out
    assert found.second == pytest.approx(square / (2 * n**2), rel=1e-3)
    assert found.cross * found.unit**3 == pytest.approx(cross / n**2, rel=1e-9)
    assert found.third * found.unit**3 == pytest.approx(np.mean(influence**3) / n**2, rel=1e-12)


def test_too_few_samples_have_no_noise_of_second_order() -> None:
    assert compute_distance_noise(np.zeros(3), lambda: iter(()), np.eye(2), np.zeros(3)) == NONE


@given(st.floats(-5, 5), st.floats(0.01, 2))
def test_without_second_order_it_is_value_and_error_cut_off_at_zero(
    value: float, se: float
) -> None:
    low, high = interval(value, se, NONE)
    assert (low, high) == pytest.approx((max(value - Z95 * se, 0), max(value + Z95 * se, 0)))


def test_what_is_counted_twice_is_taken_out_only_beside_a_first_order() -> None:
    def half(se: float, second: float) -> float:
        low, high = interval(100.0, se, DistanceNoise(second, 0.0, 0.0), 8 / 9)
        return (high - low) / 2 / Z95

    assert half(2.0, 2.0) == pytest.approx(2.0)  # all of it second order, or more
    assert half(2.0, 5.0) == pytest.approx(2.0)
    # first order K: all of the excess
    assert half(2.0, 4 / 3) == pytest.approx(np.sqrt(4 - 8 / 9 * 4 / 3))
    assert half(2.0, 1.6) == pytest.approx(np.sqrt(4 - 8 / 9 * 1.6 / 2))  # half of it
    widths = [half(se, 1.0) for se in np.linspace(1.0, 4.0, 200)]
    assert np.all(np.diff(widths) > 0)  # a larger error never makes a shorter interval


@given(st.floats(0, 4))
def test_the_rise_gives_both_tails_together_what_they_should_have(shift: float) -> None:
    up = end_shift(shift)
    tails = norm.cdf(-Z95 - up + shift) + norm.cdf(-Z95 - shift)
    assert tails == pytest.approx(2 * norm.cdf(-Z95), rel=1e-7)


def test_the_rise_is_small_for_small_shifts() -> None:
    assert end_shift(0.0) == pytest.approx(0, abs=1e-12)
    assert end_shift(0.01) == pytest.approx(1.96 * 0.01**2, rel=0.02)
    assert end_shift(3.0) == pytest.approx(3.0 - (1.96 - 1.645), abs=1e-3)


def test_skewness_moves_one_end_alone_and_not_for_ever() -> None:
    plain, some, more, limit = (
        interval(10.0, 1.0, DistanceNoise(0.0, third, 0.0)) for third in (0.0, 0.3, 0.5, 9.0)
    )
    assert plain[0] == some[0] == limit[0]
    assert plain[1] < some[1] < more[1] < limit[1]
    assert limit[1] == pytest.approx(plain[1] + end_shift(LIMIT))
    other = interval(10.0, 1.0, DistanceNoise(0.0, -0.5, 0.0))
    assert other[1] == plain[1]
    assert plain[0] - other[0] == pytest.approx(more[1] - plain[1])
    assert interval(10.0, 1.0, DistanceNoise(0.0, -9.0, 0.0))[0] == pytest.approx(
        plain[0] - end_shift(LIMIT)
    )
    assert interval(10.0, 1.0, DistanceNoise(0.0, 0.0, 0.3))[1] > plain[1]


@exact
@given(st.floats(0.1, 9), st.floats(0.1, 3), st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 10))
def test_units_do_not_matter(
    value: float, se: float, second: float, third: float, unit: float
) -> None:
    ends = interval(value, se, DistanceNoise(second, third, third))
    by_numbers = interval(
        unit * value, unit * se, DistanceNoise(unit**2 * second, unit**3 * third, unit**3 * third)
    )
    by_unit = interval(unit * value, unit * se, DistanceNoise(unit**2 * second, third, third, unit))
    for scaled in (by_numbers, by_unit):
        assert scaled == pytest.approx((unit * ends[0], unit * ends[1]), rel=1e-6, abs=1e-9)


def test_two_sides_of_one_shape_have_the_noise_of_one_of_twice_the_covariance() -> None:
    """tr (2 C)² = 4 tr C², and likewise delta' (2 C)² delta.

    Third moments of independent sides add.
    """
    one = DistanceNoise(2.0, 0.5, 0.25)
    assert add_distance_noise([one]) == pytest.approx(one)
    assert add_distance_noise([one, one]) == pytest.approx((8.0, 1.0, 1.0, 1.0))
    assert add_distance_noise([one, NONE]) == pytest.approx(one)
    halved = DistanceNoise(2.0, 0.5 * 8, 0.25 * 8, 0.5)  # the same noise in other units
    assert add_distance_noise([one, halved]) == pytest.approx((8.0, 1.0, 1.0, 1.0))
    assert add_distance_noise([DistanceNoise(1.0, 0.0, -1.0), NONE]).cross == 0
