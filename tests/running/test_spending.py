"""The false-decision rate over all looks and rows, by simulation.

And that it would be broken without the correction.
"""

import math

import numpy as np
import pytest
from scipy.stats import norm

from samplerbench.benchmarks.running.sequential_sampling import verdict_of
from samplerbench.results.comparison.significance import LEVEL, Evidence, level_of_test

LOOKS, ROWS, RUNS = 8, 4, 3000


def estimates(d, seed):
    """Differences ``(runs, looks, rows)`` of running means at N = 2^k, with the noise of a
    baseline that all rows share.
    """
    rng = np.random.default_rng(seed)
    blocks = [1] + [2**k for k in range(LOOKS - 1)]  # samples that each look adds
    added = [
        rng.normal(size=(RUNS, ROWS)) * math.sqrt(n) + rng.normal(size=(RUNS, 1)) * math.sqrt(n)
        for n in blocks
    ]
    totals = np.cumsum(blocks)
    return d + np.cumsum(np.stack(added, 1), axis=1) / totals[:, None], np.sqrt(2 / totals)


def rate(d, margin, false, level):
    """The share of runs in which some row's first decision is a false one."""
    values, errors = estimates(d, seed=3)
    wrong = np.zeros(RUNS, bool)
    still = np.ones((RUNS, ROWS), bool)
    for look in range(LOOKS):
        for run, row in np.argwhere(still):
            found = verdict_of(
                Evidence(float(values[run, look, row]), float(errors[look]), margin),
                level(look + 1),
            )
            if found != "inconclusive":
                still[run, row] = False
                wrong[run] |= found in false
    return wrong.mean()


def corrected(look):
    return level_of_test(look, ROWS)


@pytest.mark.parametrize(
    ("d", "margin", "false"),
    [(0.0, 0.0, {"better", "worse"}), (0.5, 0.5, {"equivalent", "better"})],
)
def test_any_false_decision_over_all_looks_and_rows_has_a_chance_of_at_most_5_percent(
    d, margin, false
):
    assert rate(d, margin, false, corrected) <= LEVEL
    # looking at 5 % each time is what must not be done
    assert rate(d, margin, false, lambda look: LEVEL) > 2 * LEVEL
    # nor is a correction for rows alone enough
    assert rate(d, margin, false, lambda look: LEVEL / ROWS) > LEVEL


def test_the_levels_of_all_looks_sum_to_the_level():
    assert sum(level_of_test(look, 7) * 7 for look in range(1, 200_000)) == pytest.approx(
        LEVEL, rel=1e-4
    )
    assert level_of_test(1, 7) > level_of_test(2, 7)


@pytest.mark.parametrize("t", [1e-5, 1e-3, 0.03, 0.05])
def test_a_row_decided_at_a_level_is_wrong_with_no_more_than_that_chance(t):
    """The bound of the proof, exactly, for a difference at the margin: false are equivalence
    and the wrong sign.
    """
    mu, z, two_sided = np.geomspace(0.01, 100, 500), norm.isf(t), norm.isf(t / 2)
    reach = mu - z  # estimates nearer to 0 than this, in standard errors, are equivalent
    equivalent = np.where(reach > 0, norm.cdf(reach - mu) - norm.cdf(-reach - mu), 0)
    better = norm.cdf(-np.maximum(two_sided, reach) - mu)
    assert (equivalent + better).max() <= t * (1 + 3e-7)
    for m in mu[::50]:
        for estimate in np.linspace(-5, 5, 41) * (1 + m) + 1e-3:
            different = (
                "inconclusive"
                if abs(estimate) < two_sided
                else "better"
                if estimate < 0
                else "worse"
            )
            ours = "equivalent" if abs(estimate) < m - z else different
            assert verdict_of(Evidence(estimate, 1.0, m), t) == ours


def test_decisions_say_what_is_shown():
    assert verdict_of(Evidence(-1.0, 0.1, 0.2), 0.01) == "better"
    assert verdict_of(Evidence(1.0, 0.1, 0.2), 0.01) == "worse"
    assert verdict_of(Evidence(0.1, 0.01, 0.2), 0.01) == "equivalent"
    assert verdict_of(Evidence(0.1, 0.1, 0.2), 0.01) == "inconclusive"
    assert verdict_of(Evidence(0.0, 0.0, 0.0), 0.01) == "equivalent"
