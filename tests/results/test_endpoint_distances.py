"""Summaries of distances to converged endpoints, under laws with flips and heavy tails."""

import numpy as np
import pytest

from samplerbench.results.comparison.endpoint_distances import (
    summarise_distances,
    typical_error,
    why_carried_by_few,
)


def lognormal(rng, n, spread, flips=0.0):
    """Distances about 0.05, of which some are about 1."""
    e = 0.05 * np.exp(spread * rng.standard_normal(n))
    return np.where(rng.random(n) < flips, np.exp(0.25 * rng.standard_normal(n)), e)


def test_typical__is_a_geometric_mean_without_both_fifths():
    e = np.array([0.0, 1.0, 2.0, 4.0, 1e9])
    assert typical_error(e, 1.0).value == pytest.approx(2.0)


def test_typical__does_not_depend_on_units():
    e = lognormal(np.random.default_rng(0), 50, 0.7)
    assert typical_error(7 * e, 7.0).value == pytest.approx(7 * typical_error(e, 1.0).value)
    assert typical_error(7 * e, 7.0).influence == pytest.approx(typical_error(e, 1.0).influence)


def test_typical__flips_move_it_little_and_the_mean_square_much():
    rng = np.random.default_rng(1)
    plain, flipped = lognormal(rng, 20_000, 0.5), lognormal(rng, 20_000, 0.5, flips=0.01)
    assert typical_error(flipped, 1.0).value == pytest.approx(
        typical_error(plain, 1.0).value, rel=0.05
    )
    assert np.mean(flipped**2) > 3 * np.mean(plain**2)


def test_typical__its_influence_is_the_derivative_in_a_sample():
    """Of the logarithm, in the weight of a sample, to first order in 1 / n: a sample twice.

    At both ends it is larger, by what a fifth of other samples would end at.
    """
    e = np.sort(lognormal(np.random.default_rng(2), 2000, 0.8))
    found = typical_error(e, 1.0)
    for i, widest in ((10, 1.05), (700, 1), (1300, 1), (1990, 1.05)):
        twice = np.log(typical_error(np.append(e, e[i]), 1.0).value / found.value) * len(e)
        assert abs(twice) - 0.01 <= abs(found.influence[i]) <= widest * abs(twice) + 0.01
        assert twice * found.influence[i] > 0


@pytest.mark.parametrize(
    ("n", "flips", "most"), [(32, 0.0, 0.995), (32, 0.05, 0.998), (256, 0.01, 0.985)]
)
def test_summed__typical_intervals_cover(n, flips, most):
    rng = np.random.default_rng(3)
    truth = typical_error(lognormal(rng, 10**6, 0.8, flips), 1.0).value
    draws = [
        summarise_distances(lognormal(rng, n, 0.8, flips), 1.0, "typical") for _ in range(1000)
    ]
    assert 0.93 <= np.mean([found.low <= truth <= found.high for found in draws]) <= most


@pytest.mark.parametrize("n", [8, 16, 32, 64, 256])
@pytest.mark.parametrize("flips", [0.22, 0.25, 0.3])
def test_summed__typical_intervals_cover_where_the_omitted_fifth_may_hide_all_flips(n, flips):
    """Of 32 samples with 25 % of flips, they covered in 71 % of the cases."""
    rng = np.random.default_rng(6)
    truth = typical_error(lognormal(rng, 10**6, 0.3, flips), 1.0).value
    draws = [
        summarise_distances(lognormal(rng, n, 0.3, flips), 1.0, "typical") for _ in range(1000)
    ]
    assert np.mean([found.low <= truth <= found.high for found in draws]) >= 0.93


@pytest.mark.parametrize(
    ("summary", "n", "spread", "least"),
    [("typical", 2, 0.8, 0.94), ("typical", 5, 0.8, 0.91), ("root mean square", 3, 1.0, 0.7)],
)
def test_summed__intervals_of_few_samples_are_students(summary, n, spread, least):
    rng = np.random.default_rng(5)
    truth = 0.05 * np.exp(spread**2 if summary == "root mean square" else 0.0)
    draws = [lognormal(rng, n, spread) for _ in range(1000)]
    found = [summarise_distances(e, 0.05, summary) for e in draws]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= least


@pytest.mark.parametrize(("n", "flips"), [(256, 0.001), (256, 0.01), (1000, 0.003)])
def test_summed__mean_squares_cover_flips_that_are_not_seen(n, flips):
    rng = np.random.default_rng(4)
    truth = np.sqrt(np.mean(lognormal(rng, 10**7, 0.5, flips) ** 2))
    draws = [lognormal(rng, n, 0.5, flips) for _ in range(600)]
    trusted = [e for e in draws if not why_carried_by_few(e)]
    assert len(trusted) > 30
    found = [summarise_distances(e, 1.0, "root mean square") for e in trusted]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.95
    normal = [abs(one.value - truth) <= 1.96 * one.se for one in found]
    assert np.mean(normal) < 0.8, "what was claimed before: the test tells the two apart"


def test_summed__one_sample_has_no_interval():
    for summary in ("typical", "root mean square"):
        found = summarise_distances(np.array([0.5]), np.nan, summary)
        assert found.value == pytest.approx(0.5)
        assert np.isnan([found.se, found.low, found.high]).all()


def test_summed__exact_samples_are_exact_but_for_flips_that_are_not_seen():
    found = summarise_distances(np.zeros(100), 1.0, "root mean square")
    assert (found.value, found.se, found.low) == (0.0, 0.0, 0.0)
    assert found.high == pytest.approx(np.sqrt(1.984 * 2.5 / 100), rel=1e-4)


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_summed__the_typical_error_of_exact_samples_is_0_as_their_mean_square_is(apart):
    """Of endpoints that are all equal, it was the smallest number of the machine."""
    assert summarise_distances(np.zeros(100), apart, "typical") == (0.0, 0.0, 0.0, 0.0)
    flipped = np.r_[np.zeros(90), np.ones(10)]
    assert summarise_distances(flipped, apart, "typical").value == 0.0
    flipped[:50] = 0.1
    assert summarise_distances(flipped, apart, "typical").value > 0


def test_carried_by_few__one_flip_is_named():
    e = np.full(256, 0.01)
    assert why_carried_by_few(e) == ""
    e[3] = 1.0
    assert why_carried_by_few(e) == "half of the mean square is carried by 1 of 256 samples"
    assert why_carried_by_few(np.zeros(10)) == ""
    assert "by 1 of 3 samples" in why_carried_by_few(np.array([0.01, 0.01, 0.02]))
    assert why_carried_by_few(np.full(3, 0.01)) == ""
