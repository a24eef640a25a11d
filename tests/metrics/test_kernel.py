"""KID: against the sums of its definition, its invariances, and its errors against the spread
of repeated draws.
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics import kid
from samplerbench.benchmarks.metrics.estimators.second_order import DistanceNoise, interval
from samplerbench.results.comparison.estimates import Estimate, difference
from samplerbench.results.text import Z95
from samplerbench_studies.calibration.law import Law
from samplerbench_studies.calibration.trials import Case

exact = settings(derandomize=True, deadline=None, max_examples=20)
sizes = st.integers(4, 12)


def draw(seed, n, d, scale=1.0, shift=0.0):
    return scale * np.random.default_rng(seed).standard_normal((n, d)) + shift


def brute_force(x, y):
    """The three means, pair by pair."""

    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@exact
@given(st.integers(0, 99), sizes, sizes, st.integers(1, 5))
def test_the_value_is_the_u_statistic_of_all_pairs(seed, n, m, d):
    x, y = draw(seed, n, d), draw(seed + 1000, m, d, shift=0.5)
    assert kid(x, y).value == pytest.approx(brute_force(x, y), rel=1e-10, abs=1e-12)


@exact
@given(st.integers(0, 99), sizes, sizes, st.integers(1, 20))
def test_tiles_rotations_and_the_order_of_samples_change_nothing(seed, n, m, block):
    x, y = draw(seed, n, 3), draw(seed + 1000, m, 3, shift=0.5)
    rng = np.random.default_rng(seed)
    turn, order = np.linalg.qr(rng.standard_normal((3, 3)))[0], rng.permutation(n)
    whole = kid(x, y)
    for other, influence in (
        (kid(x, y, block), whole.influence),
        (kid(x @ turn, y @ turn), whole.influence),
        (kid(x[order], y), whole.influence[order]),
    ):
        assert (other.value, other.se) == pytest.approx(
            (whole.value, whole.se), rel=1e-8, abs=1e-10
        )
        np.testing.assert_allclose(other.influence, influence, rtol=1e-8, atol=1e-10)
    swapped = kid(y, x)
    assert (swapped.value, swapped.se) == pytest.approx((whole.value, whole.se), rel=1e-9)


def u_centred(x):
    """V of a set, by taking the means out of its matrix (Székely and Rizzo 2014, eq. 2.2), and a
    row's mean.
    """
    k, n = (x @ x.T / x.shape[1] + 1) ** 3, len(x)
    np.fill_diagonal(k, 0)
    rows = k.sum(1)
    left = k - rows[:, None] / (n - 2) - rows / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(left, 0)
    return np.square(left).sum() / (n * (n - 3)), rows / (n - 1)


@exact
@given(st.integers(0, 99), sizes, sizes, st.floats(0, 2))
def test_the_error_has_every_term_of_the_decomposition(seed, n, m, shift):
    x, y = draw(seed, n, 3), draw(seed + 1000, m, 3, shift=shift)
    cross = (x @ y.T / 3 + 1) ** 3
    left = cross - cross.mean(0) - cross.mean(1)[:, None] + cross.mean()
    v_xy, (v_x, rows_x), (v_y, rows_y) = (
        np.square(left).sum() / ((n - 1) * (m - 1)),
        u_centred(x),
        u_centred(y),
    )
    var_a = (rows_x - cross.mean(1)).var(ddof=1) - v_x * (n - 2) / (n - 1) ** 2 - v_xy / m
    var_b = (rows_y - cross.mean(0)).var(ddof=1) - v_y * (m - 2) / (m - 1) ** 2 - v_xy / n
    second = 2 * v_x / (n * (n - 1)) + 2 * v_y / (m * (m - 1)) + 4 * v_xy / (n * m)
    assert kid(x, y).se ** 2 == pytest.approx(
        max(4 * var_a / n + 4 * var_b / m, 0) + second, rel=1e-7
    )


def test_the_influence_is_what_a_sample_less_changes():
    """Deleting sample i moves a mean of influences by IF_i / (n - 1), to first order."""
    x, y = draw(0, 400, 4), draw(1, 300, 4, shift=0.4)
    whole = kid(x, y)
    for i in (0, 7):
        moved = 399 * (whole.value - kid(np.delete(x, i, 0), y).value)
        assert moved == pytest.approx(whole.influence[i], abs=0.02 * np.abs(whole.influence).max())
        moved = 299 * (whole.value - kid(x, np.delete(y, i, 0)).value)
        assert moved == pytest.approx(
            whole.reference_influence[i], abs=0.02 * np.abs(whole.reference_influence).max()
        )


@pytest.mark.parametrize(
    ("shift", "low", "high"), [(0.0, 0.95, 1.4), (0.1, 0.9, 1.2), (0.6, 0.9, 1.1)]
)
def test_the_error_is_that_of_repeated_draws(shift, low, high):
    """At shift 0 there is nothing but the second order.

    The interval is 95 % of the scatter of 300 standard deviations, widened.
    """
    rng = np.random.default_rng(5)
    found = [
        kid(rng.standard_normal((60, 6)) + shift, rng.standard_normal((90, 6))) for _ in range(300)
    ]
    values = np.array([one.value for one in found])
    predicted = np.sqrt(np.mean([one.se**2 for one in found]))
    assert low < predicted / values.std() < high
    if shift == 0:
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(300)


@exact
@given(st.integers(0, 99), sizes, sizes, st.floats(0, 2))
def test_the_interval_is_that_of_influences_and_of_pairs_one_by_one(seed, n, m, shift):
    """In one dimension the kernel is (x y + 1)³."""
    x, y = draw(seed, n, 1), draw(seed + 1000, m, 1, shift=shift)
    xx, yy, xy = ((a @ b.T + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    (v_x, rows_x), (v_y, rows_y) = u_centred(x), u_centred(y)
    v_xy = np.square(xy - xy.mean(0) - xy.mean(1)[:, None] + xy.mean()).sum() / ((n - 1) * (m - 1))
    second = 2 * v_x / (n * (n - 1)) + 2 * v_y / (m * (m - 1)) + 4 * v_xy / (n * m)
    a, b = rows_x - xy.mean(1), rows_y - xy.mean(0)
    u, v = 2 * (a - a.mean()), 2 * (b - b.mean())
    pairs_x = np.mean([u[i] * u[j] * xx[i, j] for i in range(n) for j in range(n) if i != j])
    pairs_y = np.mean([v[i] * v[j] * yy[i, j] for i in range(m) for j in range(m) if i != j])
    pairs_xy = np.mean([u[i] * v[j] * xy[i, j] for i in range(n) for j in range(m)])
    third = np.mean(u**3) / n**2 + np.mean(v**3) / m**2
    cross = 2 * pairs_x / n**2 + 2 * pairs_y / m**2 - 4 * pairs_xy / (n * m)
    found = kid(x, y)
    se = np.sqrt(u.var(ddof=1) / n + v.var(ddof=1) / m)
    expected = interval(found.value, se, DistanceNoise(second, third, cross))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert 0 <= found.low <= max(found.value, 0) <= found.high


def test_more_pairs_than_are_asked_for_change_the_skewness_little(monkeypatch):
    """Every second sample says what all of them say, to sampling."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((400, 3)) + 1, rng.standard_normal((300, 3))
    whole = kid(x, y)
    monkeypatch.setattr("samplerbench.benchmarks.metrics.kernel.PAIRS", 200)
    some = kid(x, y)
    assert some.low == whole.low
    assert some.high != whole.high
    assert some.high - some.value == pytest.approx(whole.high - whole.value, rel=0.05)


@pytest.fixture(scope="module")
def mixtures():
    """The mixture in 16 dimensions, and estimates of it at all levels, 120 of each."""
    cell = Case("kid", "mixture", 16, 500)
    return cell, cell.replicates(range(1000, 1120))


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_interval_covers_where_the_error_grows_with_the_value(level, mixtures):
    """The mixture's noise is skewed: value ± 1.96 se covers 87 % of the truths far from 0."""
    cell, found = mixtures
    true = cell.samplers.pairs[level][0].kid
    inside = (found["low"][:, level] <= true) & (true <= found["high"][:, level])
    assert 0.9 <= inside.mean() <= 1.0
    wald = np.abs(found["value"][:, level] - true) <= Z95 * found["se"][:, level]
    assert level == 2 or wald.all()
    assert level != 2 or wald.mean() < inside.mean()


def test_the_interval_covers_where_the_difference_lies_along_a_dominant_axis():
    """One axis of ten times the standard deviation of 63 others, and a shift along it: the
    noise is nearly that of one square.
    """
    rng = np.random.default_rng(9)
    scale = np.array([3.0] + [0.3] * 63)
    shift = np.zeros(64)
    shift[0] = 1.2

    def sides():
        return scale * rng.standard_normal((150, 64)) + shift, scale * rng.standard_normal(
            (150, 64)
        )

    found = [kid(*sides()) for _ in range(300)]
    law = Law(np.zeros(64), np.diag(scale**2), np.zeros((64,) * 3))
    true = Law(shift, law.cov, law.third).kid(law)
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.9


def test_pairing_takes_away_what_both_runs_share():
    rng = np.random.default_rng(6)
    rows = []
    for _ in range(200):
        z, y = rng.standard_normal((80, 5)), rng.standard_normal((80, 5))
        a, b = kid(z + 0.35, y), kid(1.05 * z + 0.3, y)
        gap = difference(
            *(
                Estimate(one.value, one.se, one.influence, one.reference_influence)
                for one in (b, a)
            ),
            same_latents=True,
        )
        rows.append((gap.value, gap.se, np.hypot(a.se, b.se)))
    gaps, se, unpaired = np.array(rows).T
    assert 0.85 < np.sqrt(np.mean(se**2)) / gaps.std() < 1.3
    assert np.mean(unpaired) > 2 * np.mean(se)


def test_it_grows_with_a_corruption():
    z, y = draw(2, 300, 4), draw(3, 300, 4)
    values = [kid(z + shift, y).value for shift in (0, 0.25, 0.5, 1, 2)]
    assert values == sorted(values)
    assert abs(values[0]) < 3 * kid(z, y).se


def test_memory_is_that_of_tiles():
    x = np.zeros((3000, 64), np.float32)
    tracemalloc.start()
    kid(x, x, block=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # the kernel matrix alone would be 72 MB


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), "at least 4"),
        (np.zeros((9, 2)), np.zeros((9, 3)), "one extractor"),
        (np.full((9, 2), np.nan), np.zeros((9, 2)), "not finite"),
        (np.full((9, 2), 1e25), np.zeros((9, 2)), "beyond 1e\\+24"),
    ],
)
def test_what_cannot_be_measured_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        kid(x, y)


def test_the_largest_features_have_finite_numbers():
    x = np.full((6, 2), 1e24) * np.random.default_rng(0).choice([-1, 1], (6, 2))
    assert np.isfinite([kid(x, x[::-1]).value, kid(x, x).se]).all()
    x, y = draw(0, 100, 4), draw(1, 100, 4, shift=1.0)
    # far from 1 the kernel is (x·y / d)³
    found = [kid(unit * x, unit * y) for unit in (1e15, 1e17, 1e23)]
    numbers = np.array([(one.value, one.se, one.low, one.high) for one in found]) / np.array(
        [[1e90], [1e102], [1e138]]
    )
    np.testing.assert_allclose(numbers[1:], np.stack([numbers[0]] * 2), rtol=1e-9)
    assert 0 < numbers[0, 2] < numbers[0, 0] < numbers[0, 3]
