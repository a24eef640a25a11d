"""Modes: counts, what is missing, and tests whose p values are uniform under the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from samplerbench.benchmarks.metrics import against_counts, against_proportions, mode_counts

exact = settings(derandomize=True, deadline=None, max_examples=30)
many = st.lists(st.integers(20, 90), min_size=2, max_size=6)


@exact
@given(many)
def test_well_filled_counts_are_tested_as_scipy_does(counts):
    observed = np.array(counts)
    proportions = np.arange(len(counts)) + 4
    expected = stats.chisquare(observed, proportions / proportions.sum() * observed.sum())
    found = against_proportions(observed, proportions)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    table = stats.chi2_contingency([observed, observed[::-1] + 3], correction=False)
    found = against_counts(observed, observed[::-1] + 3)
    assert (found.statistic, found.p, found.freedom) == pytest.approx(
        (table.statistic, table.pvalue, table.dof)
    )


@exact
@given(many, st.randoms(use_true_random=False))
def test_the_order_of_modes_and_batches_does_not_matter(counts, random):
    modes = [mode for mode, count in enumerate(counts) for _ in range(count)]
    random.shuffle(modes)
    k = len(counts)
    split = len(modes) // 3
    assert np.array_equal(mode_counts(modes, k), counts)
    assert np.array_equal(mode_counts(modes[:split], k) + mode_counts(modes[split:], k), counts)
    order = random.sample(range(k), k)
    a, b = (
        against_counts(counts, np.arange(k) + 40),
        against_counts(np.array(counts)[order], (np.arange(k) + 40)[order]),
    )
    assert a.p == pytest.approx(b.p)


@pytest.mark.parametrize("k", [5, 300])
def test_p_values_are_uniform_under_the_truth(k):
    """With 300 modes and 200 samples most cells are pooled."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(k))
    hits = []
    for _ in range(400):
        seen, reference = rng.multinomial(200, p), rng.multinomial(900, p)
        hits.append((against_proportions(seen, p).p < 0.1, against_counts(seen, reference).p < 0.1))
    rejected = np.mean(hits, axis=0)
    assert (np.abs(rejected - 0.1) < 0.04).all(), rejected


def test_missing_modes_are_named():
    found = against_proportions([50, 0, 48, 0], [1, 1, 1, 0])
    assert found.missing == (1,)
    assert found.covered == pytest.approx(2 / 3)
    assert found.p < 1e-6
    assert against_counts([50, 0, 48], [60, 60, 60]).missing == (1,)


def test_a_mode_that_should_not_be_has_no_probability():
    assert against_proportions([50, 50, 1], [1, 1, 0]).p == 0.0


def test_one_cell_leaves_nothing_to_test():
    found = against_proportions([2, 1], [1, 1])
    assert (found.p, found.freedom) == (1.0, 0)


def test_it_grows_with_a_corruption():
    p = [
        against_proportions([100 + shift, 100 - shift, 100], np.ones(3)).p
        for shift in (0, 10, 20, 40)
    ]
    assert p == sorted(p, reverse=True)
    assert p[0] == 1.0


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match=r"lie in \[0, 2\]"):
        mode_counts([0, 3], 3)
    with pytest.raises(ValueError, match="one length"):
        against_counts([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        against_proportions([1, 2], [np.inf, 1])
    with pytest.raises(ValueError, match="no samples"):
        against_counts([0, 0], [1, 2])
    assert mode_counts(np.zeros(0, int), 2).tolist() == [0, 0]
