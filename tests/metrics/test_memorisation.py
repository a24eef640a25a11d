"""Memorisation: the ratio of distances, its calibration, and the interval of the share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from samplerbench.benchmarks.metrics import duplicate_share, memorisation, memorised_threshold
from samplerbench.benchmarks.metrics.memorisation import binomial_interval, distance_ratio

exact = settings(derandomize=True, deadline=None, max_examples=25)
TRAINING = np.random.default_rng(0).standard_normal((300, 4))


@exact
@given(st.integers(0, 99))
def test_the_ratio_is_that_of_brute_force_and_moves_with_nothing(seed):
    rng = np.random.default_rng(seed)
    x, examples = rng.standard_normal((9, 3)), rng.standard_normal((12, 3))
    apart = np.sort(cdist(x, examples), 1)
    turn, order = np.linalg.qr(rng.standard_normal((3, 3)))[0], rng.permutation(9)
    ratio = distance_ratio(x, examples)
    np.testing.assert_allclose(ratio, apart[:, 0] / apart[:, 1], rtol=1e-9)
    np.testing.assert_allclose(
        distance_ratio(3 * x[order] @ turn + 1, 3 * rng.permutation(examples) @ turn + 1),
        ratio[order],
        rtol=1e-9,
    )


def test_copies_are_memorised_and_fresh_data_as_often_as_the_level_says():
    threshold = memorised_threshold(TRAINING, level=0.05)
    fresh = np.random.default_rng(1).standard_normal((4000, 4))
    found = memorisation(fresh, TRAINING, threshold)
    assert 0.02 < found.share < 0.09  # the quantile itself comes from 300 examples
    assert found.low < found.share < found.high
    assert memorisation(TRAINING, TRAINING, threshold).share == 1.0


@pytest.mark.parametrize("k", [99, 250])
def test_memorised_threshold__fresh_data_are_below_it_as_often_as_the_level_says(k):
    rng = np.random.default_rng(4)
    shares = []
    for _ in range(60):
        threshold = memorised_threshold(TRAINING, rng.standard_normal((k, 4)))
        shares.append(memorisation(rng.standard_normal((2000, 4)), TRAINING, threshold).share)
    assert np.mean(shares) == pytest.approx(0.01, abs=3 * np.std(shares) / 60**0.5)


def test_held_out_data_calibrate_by_their_own_quantile():
    held_out = np.random.default_rng(2).standard_normal((200, 4))
    threshold = memorised_threshold(TRAINING, held_out, level=0.1)
    assert memorisation(held_out, TRAINING, threshold).share == pytest.approx(0.1)


def test_it_grows_as_samples_are_drawn_towards_examples():
    fresh = np.random.default_rng(3).standard_normal((300, 4))
    threshold = memorised_threshold(TRAINING, level=0.05)
    share = [
        memorisation(TRAINING + t * (fresh - TRAINING), TRAINING, threshold).share
        for t in (1, 0.2, 0.1, 0.02, 0)
    ]
    assert share == sorted(share)
    assert share[-1] == 1.0


def test_a_copy_of_an_example_that_is_there_twice_is_a_copy():
    twice = np.concatenate([TRAINING[:5], TRAINING[:5]])
    assert distance_ratio(TRAINING[:5], twice).tolist() == [0.0] * 5
    assert distance_ratio(twice, twice, same=True).tolist() == [0.0] * 10


@exact
@given(st.integers(1, 60), st.data())
def test_the_interval_is_clopper_and_pearson_s(n, data):
    hits = data.draw(st.integers(0, n))
    known = binomtest(hits, n).proportion_ci(0.95, "exact")
    assert binomial_interval(hits, n) == pytest.approx((known.low, known.high), abs=1e-9)


def test_repeats_are_counted_once_less_than_they_occur():
    x = np.array([[0.0, 1], [2, 3], [-0.0, 1], [0, 1]])
    assert duplicate_share(x) == 0.5
    assert duplicate_share(TRAINING) == 0.0
    assert duplicate_share(TRAINING[:1]) == 0.0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        memorisation(np.zeros((0, 4)), TRAINING, 0.5)
    with pytest.raises(ValueError, match="no samples"):
        duplicate_share(np.zeros((0, 4)))
    with pytest.raises(
        ValueError, match=r"98 held-out data have no 0\.01 quantile: pass at least 99"
    ):
        memorised_threshold(TRAINING, TRAINING[:98])
    with pytest.raises(ValueError, match="examples of 4"):
        distance_ratio(np.zeros((2, 3)), TRAINING)
    with pytest.raises(ValueError, match="2 neighbours"):
        distance_ratio(np.zeros((2, 4)), TRAINING[:1])


def test_memorisation__copies_are_found_although_examples_occur_twice():
    """More than 1 % of the examples have a copy, so that the threshold is 0."""
    training = np.concatenate([TRAINING, TRAINING[: len(TRAINING) // 20]])
    threshold = memorised_threshold(training)
    assert threshold == 0.0
    assert memorisation(TRAINING[:10], training, threshold).share == 1.0
    assert memorisation(TRAINING[:10] + 0.1, training, threshold).share == 0.0
