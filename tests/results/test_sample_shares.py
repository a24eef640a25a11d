"""Shares of samples: exact intervals, exact paired tests."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from samplerbench.results.comparison.sample_shares import (
    PairedShares,
    count_changes,
    share_interval,
)


@pytest.mark.parametrize(("count", "n"), [(0, 32), (1, 32), (5, 64), (64, 64), (300, 1000)])
def test_share_interval__is_scipys(count, n):
    found = binomtest(count, n).proportion_ci(0.95, method="exact")
    assert share_interval(count, n) == pytest.approx((found.low, found.high), abs=1e-10)


def evidence(gained, lost, n, margin=0.01):
    return PairedShares((gained - lost) / n, 0.01, margin, gained, lost, n)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (0, 5), (9, 2), (3, 3)])
def test_paired_shares__difference_is_mcnemars_exact_test(gained, lost):
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert evidence(gained, lost, 100).p_difference == pytest.approx(expected)


def test_paired_shares__no_flip_at_all_is_equivalent_only_with_many_samples():
    """None of n: below 1 % at the level 5 % from about log(0.025) / log(0.99) = 368 on."""
    assert evidence(0, 0, 256).p_equivalence > 0.05
    assert evidence(0, 0, 400).p_equivalence < 0.05
    assert evidence(0, 0, 400).p_within == evidence(0, 0, 400).p_equivalence


def test_paired_shares__worse_by_more_than_a_margin():
    assert evidence(40, 0, 400).p_beyond < 1e-3
    assert evidence(5, 0, 400).p_beyond > 0.05
    assert evidence(0, 40, 400).p_within < 1e-3
    assert evidence(5, 1, 100, margin=0.0).p_beyond == pytest.approx(binom.sf(4, 6, 0.5))


@pytest.mark.parametrize("rate", [0.003, 0.03])
def test_paired_shares__equal_rates_are_told_apart_no_more_often_than_said(rate):
    rng = np.random.default_rng(0)
    flips = rng.random((2, 2000, 256)) < rate
    ps = [
        PairedShares(0.0, 0.01, 0.01, *count_changes(*pair.astype(float)), 256).p_difference
        for pair in flips.swapaxes(0, 1)
    ]
    assert np.mean(np.array(ps) <= 0.05) <= 0.06


def test_paired_shares__equivalence_is_claimed_wrongly_no_more_often_than_said():
    """The candidate's rate is larger by the margin itself."""
    rng = np.random.default_rng(1)
    gained, lost = rng.binomial(500, 0.02, 400), rng.binomial(500, 0.01, 400)
    ps = [evidence(int(g), int(k), 500).p_within for g, k in zip(gained, lost, strict=True)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.06
