"""Precision, recall, density and coverage: against their definitions, one sample at a time, and
what equal distributions get.
"""

import sys
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from samplerbench.benchmarks.metrics import precision_recall
from samplerbench.benchmarks.metrics.precision_recall import neighbour_distances

module = sys.modules[neighbour_distances.__module__]  # its name is a function's too
exact = settings(derandomize=True, deadline=None, max_examples=25)


def by_definition(x, y):
    def radii(points, k):
        return np.sort(cdist(points, points), axis=1)[:, k]  # column 0 is the point itself

    apart = cdist(x, y)
    inside = apart <= radii(y, 5)
    return (
        (apart <= radii(y, 3)).any(1).mean(),
        (radii(x, 3) >= apart.T).any(1).mean(),
        inside.sum() / (5 * len(x)),
        inside.any(0).mean(),
    )


@exact
@given(
    st.integers(0, 99), st.integers(4, 30), st.integers(6, 30), st.integers(1, 40), st.floats(0, 2)
)
def test_they_are_what_their_authors_define_whatever_the_block(seed, n, m, block, shift):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, 3)) + shift, rng.standard_normal((m, 3))
    with patch.object(module, "BLOCK", block):
        assert precision_recall(x, y) == pytest.approx(by_definition(x, y))


@exact
@given(st.integers(0, 99), st.floats(0, 2))
def test_rotation_shift_and_order_change_nothing(seed, shift):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((25, 3)) + shift, rng.standard_normal((20, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    whole = precision_recall(x, y)
    assert precision_recall(rng.permutation(x) @ turn + 5, rng.permutation(y) @ turn + 5) == whole


def test_equal_distributions_get_what_combinatorics_says():
    """A ball of R is without a generated sample if its centre's 5 nearest of all n + m - 1
    others are real.
    """
    rng = np.random.default_rng(0)
    n, m = 60, 40
    found = np.array(
        [
            precision_recall(rng.standard_normal((n, 2)), rng.standard_normal((m, 2)))
            for _ in range(200)
        ]
    )
    empty = np.prod([(m - 1 - j) / (n + m - 1 - j) for j in range(5)])
    mean, se = found.mean(0), found.std(0) / np.sqrt(200)
    assert abs(mean[2] - 1) < 3 * se[2]
    assert abs(mean[3] - (1 - empty)) < 3 * se[3]


def test_a_lost_mode_costs_recall_and_strangers_cost_precision():
    rng = np.random.default_rng(1)
    real = np.concatenate([rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 20])
    one = rng.standard_normal((200, 2))
    strangers = np.concatenate([real + 0.01, np.linspace(100, 1000, 400).reshape(200, 2)])
    lost, strange = precision_recall(one, real), precision_recall(strangers, real)
    assert lost.precision > 0.9
    assert 0.4 < lost.recall < 0.55
    assert lost.coverage < 0.55
    assert strange.precision == pytest.approx(0.5)
    assert strange.recall > 0.95


def test_copies_are_inside_even_balls_of_no_size():
    """Data drawn with replacement: a ball around a point that is there six times has radius 0."""
    y = np.repeat(np.random.default_rng(2).standard_normal((5, 40)) * 7 + 3, 6, axis=0)
    assert precision_recall(y.copy(), y) == pytest.approx((1, 1, 6 / 5, 1))


def test_precision_recall__samples_at_a_radius_are_inside_whatever_the_scale_and_the_order():
    """The distances of equal points were rounded in two ways, so that some were outside."""
    rng = np.random.default_rng(4)
    y = rng.standard_normal((300, 8))
    assert precision_recall(y[::-1], y) == pytest.approx((1, 1, 6 / 5, 1))
    atoms, others = rng.integers(0, 3, (40, 3)), rng.integers(0, 3, (50, 3))
    assert precision_recall(atoms / 3, others / 3) == precision_recall(atoms, others)


@pytest.mark.parametrize("far", [1e7, 1e9, 1e12])
def test_precision_recall__one_sample_far_away_takes_nothing_from_the_others(far):
    """Distances within the rounding error of the largest were 0, and so were all radii."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 200, 16))
    x[7] = 1e3
    expected = precision_recall(x, y)
    x[7] = far
    assert precision_recall(x, y) == expected


@exact
@given(st.integers(0, 99), st.integers(1, 30))
def test_neighbours_are_those_of_brute_force(seed, block):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((11, 3)), rng.standard_normal((9, 3)) + 50
    with patch.object(module, "BLOCK", block):
        others, own = neighbour_distances(x, y, 4), neighbour_distances(y, y, 4, same=True)
    expected = np.sort(cdist(x, y, "sqeuclidean"), 1)[:, :4]
    np.testing.assert_allclose(others, expected, rtol=1e-9)
    expected = np.sort(cdist(y, y, "sqeuclidean"), 1)[:, 1:5]
    np.testing.assert_allclose(own, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), np.zeros((9, 2)), "more than 3"),
        (np.zeros((9, 2)), np.zeros((5, 2)), "more than 5"),
        (np.zeros((9, 2)), np.zeros((9, 1)), "one extr"),
    ],
)
def test_what_cannot_be_measured_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        precision_recall(x, y)


def test_too_few_neighbours_are_refused():
    with pytest.raises(ValueError, match="no 3 neighbours"):
        neighbour_distances(np.zeros((3, 1)), np.zeros((3, 1)), 3, same=True)
