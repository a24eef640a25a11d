"""Sliced Wasserstein distance: against scipy and closed forms, its invariances, and its error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics import sliced_wasserstein
from samplerbench.benchmarks.metrics.sliced_wasserstein import directions, squared_distances

exact = settings(derandomize=True, deadline=None, max_examples=25)


@exact
@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9))
def test_unequal_sets_are_compared_by_their_quantile_functions(seed, n, m):
    """Each set repeated to the common size n m is the same distribution, and there sorting
    alone decides.
    """
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.standard_normal((n, 2)), 0), np.sort(rng.standard_normal((m, 2)) + 1, 0)
    common = np.square(x.repeat(m, 0) - y.repeat(n, 0)).mean(0)
    np.testing.assert_allclose(squared_distances(x, y), common, rtol=1e-12)


@exact
@given(st.integers(0, 99), st.integers(2, 20), st.integers(2, 20))
def test_invariances(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, 3)), rng.standard_normal((m, 3)) + 1
    whole, order, shift = sliced_wasserstein(x, y), rng.permutation(n), rng.standard_normal(3)
    shuffled, moved, larger, swapped = (
        sliced_wasserstein(x[order], y),
        sliced_wasserstein(x + shift, y + shift),
        sliced_wasserstein(3 * x, 3 * y),
        sliced_wasserstein(y, x),
    )
    assert (shuffled.value, moved.value, larger.value / 9, swapped.value) == pytest.approx(
        (whole.value,) * 4, rel=1e-9
    )
    np.testing.assert_allclose(shuffled.influence, whole.influence[order], atol=1e-12)
    np.testing.assert_allclose(swapped.reference_influence, whole.influence, atol=1e-12)
    np.testing.assert_allclose(sliced_wasserstein(-x, -y).influence, whole.influence, atol=1e-12)
    assert sliced_wasserstein(x, x[order]).value == pytest.approx(0, abs=1e-25)


def test_a_shift_is_its_mean_square_over_directions():
    x = np.random.default_rng(0).standard_normal((50, 4))
    shift = np.array([1.0, -2, 0, 0.5])
    assert sliced_wasserstein(x + shift, x).value == pytest.approx(
        np.square(shift @ directions(4)).mean(), rel=1e-12
    )


def test_directions_are_uniform_and_fixed():
    """Over the sphere the mean of w w^T is I / d."""
    w = directions(3, 20_000, seed=1)
    np.testing.assert_allclose(np.linalg.norm(w, axis=0), 1)
    np.testing.assert_allclose(w @ w.T / 20_000, np.eye(3) / 3, atol=0.01)
    assert np.array_equal(directions(3, 5), directions(3, 5))


def test_the_influence_is_what_a_sample_less_changes():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((400, 2)), rng.standard_normal((300, 2)) + 1
    whole = sliced_wasserstein(x, y)
    for i in (0, 5, 9):
        moved = 399 * (whole.value - sliced_wasserstein(np.delete(x, i, 0), y).value)
        assert moved == pytest.approx(whole.influence[i], abs=0.03 * np.abs(whole.influence).max())


def test_the_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(4)
    found = [
        sliced_wasserstein(rng.standard_normal((80, 3)) + 0.8, rng.standard_normal((120, 3)), 32)
        for _ in range(200)
    ]
    predicted = np.sqrt(np.mean([one.se**2 for one in found]))
    assert 0.87 < predicted / np.std([one.value for one in found]) < 1.15


def test_it_grows_with_a_corruption():
    rng = np.random.default_rng(5)
    z, y = rng.standard_normal((300, 4)), rng.standard_normal((250, 4))
    values = [sliced_wasserstein(scale * z, y).value for scale in (1, 1.2, 1.5, 2)]
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((9, 2)), np.zeros((9, 3)), "one extractor"),
        (np.zeros((1, 2)), np.zeros((9, 2)), "at least two"),
        (np.full((9, 2), np.inf), np.zeros((9, 2)), "not finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        sliced_wasserstein(x, y)


def test_sliced_wasserstein__no_directions_are_refused():
    with pytest.raises(ValueError, match="0 projections"):
        sliced_wasserstein(np.eye(3), np.eye(3), projections=0)
