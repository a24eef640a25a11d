"""The energy distance against closed forms of Gaussians: unbiased, with an interval that covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma, hyp1f1

from samplerbench.benchmarks.metrics.energy import energy_distance

SAMPLES, REPLICATES = 120, 200


def mean_distance(shift, scale, d):
    """E|Z| of Z ~ N(m, scale² I) in d dimensions, |m| = shift."""
    central = scale * np.sqrt(2) * gamma((d + 1) / 2) / gamma(d / 2)
    return central * hyp1f1(-0.5, d / 2, -(shift**2) / (2 * scale**2))


def truth(shift, scale, d):
    """Of N(shift e, scale² I) and N(0, I)."""
    between = mean_distance(shift, np.hypot(scale, 1), d)
    return 2 * between - mean_distance(0, np.sqrt(2) * scale, d) - mean_distance(0, np.sqrt(2), d)


def estimates(shift, scale, d, n=SAMPLES, m=SAMPLES):
    rng = np.random.default_rng([d, n, m, int(100 * shift), int(100 * scale)])
    for _ in range(REPLICATES):
        x = scale * rng.standard_normal((n, d))
        x[:, 0] += shift
        yield energy_distance(x, rng.standard_normal((m, d)))


@given(st.integers(4, 30), st.integers(4, 30), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_it_is_the_u_statistic_of_all_pairs(n, m, d, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)) + 1e3, rng.standard_normal((m, d)) + 1e3

    def mean(a, b, pairs):
        return np.linalg.norm(a[:, None] - b[None], axis=2).sum() / pairs

    expected = 2 * mean(x, y, n * m) - mean(x, x, n * (n - 1)) - mean(y, y, m * (m - 1))
    assert energy_distance(x, y).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("shift", "scale", "d"), [(0.0, 1.0, 1), (0.5, 1.0, 1), (0.0, 1.5, 4), (0.7, 0.8, 16)]
)
def test_it_is_unbiased_with_the_error_that_it_says_and_an_interval_that_covers(shift, scale, d):
    found = list(estimates(shift, scale, d))
    true, values = truth(shift, scale, d), np.array([e.value for e in found])
    assert abs(values.mean() - true) < 4 * values.std() / np.sqrt(REPLICATES)
    said = np.sqrt(np.mean([e.se**2 for e in found])) / values.std(ddof=1)
    assert 0.8 < said < (1.2 if true else 1.7), (
        "at 0 the error is all of second order, and cautious"
    )
    covered = np.mean([e.low <= true <= e.high for e in found])
    assert covered > 0.885, "of 200 replicates, 95 % is that or less once in 10,000"


def test_sides_of_unlike_sizes():
    found = list(estimates(0.5, 1.0, 3, n=100, m=400))
    assert np.mean([e.low <= truth(0.5, 1.0, 3) <= e.high for e in found]) > 0.885


def test_influences_are_those_of_the_samples():
    """To first order, a sample that is there twice moves the value by its influence over n."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 2)) + np.array([1.0, 0.0]), rng.standard_normal((400, 2))
    whole = energy_distance(x, y)
    assert whole.influence.mean() == pytest.approx(0, abs=1e-12)
    without = [energy_distance(np.delete(x, i, 0), y).value for i in range(20)]
    moved = (len(x) - 1) * (whole.value - np.array(without))
    np.testing.assert_allclose(moved, whole.influence[:20], atol=0.02)


def test_wrong_sets_are_refused():
    x = np.zeros((5, 2))
    for a, b in ((x, x[:3]), (x, np.zeros((5, 3)))):
        with pytest.raises(ValueError, match="no energy distance"):
            energy_distance(a, b)
