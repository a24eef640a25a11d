import math
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.results.comparison.significance import (
    Evidence,
    half_width_95,
    holm_adjusted,
    judge_table,
    upper_tail_probability,
)

P = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(P)
def test_holm_lies_between_the_raw_p_and_bonferroni_and_keeps_the_order(p):
    adjusted = holm_adjusted(p)
    for raw, got in zip(p, adjusted, strict=True):
        assert raw <= got <= min(1.0, len(p) * raw) + 1e-12
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@given(P, st.randoms())
def test_holm_does_not_depend_on_the_order_of_the_table(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm_adjusted([p[i] for i in order]) == pytest.approx(
        [holm_adjusted(p)[i] for i in order]
    )


def test_holm_by_hand():
    assert holm_adjusted([0.03, 0.01, 0.2]) == pytest.approx([0.06, 0.03, 0.2])
    assert holm_adjusted([0.02, 0.015]) == pytest.approx(
        [0.03, 0.03]
    )  # the second takes the first's


def test_nan_shows_nothing_and_hides_nothing():
    assert holm_adjusted([0.04, math.nan, 0.001]) == pytest.approx([0.08, 1.0, 0.003])
    assert holm_adjusted([math.nan, 0.001]) == pytest.approx([1.0, 0.002])


@given(P, st.floats(0.001, 0.5))
def test_holm_rejects_exactly_what_the_step_down_procedure_rejects(p, level):
    """Against the definition: go up the sorted p values, and stop at the first that exceeds
    level / (m - k + 1).
    """
    rejected, ranked = set(), sorted(range(len(p)), key=p.__getitem__)
    for k, index in enumerate(ranked):
        if (len(p) - k) * p[index] > level:
            break
        rejected.add(index)
    assert {i for i, q in enumerate(holm_adjusted(p)) if q <= level} == rejected


def test_tail_is_the_normal_one_and_without_error_the_sign_decides():
    assert upper_tail_probability(0.3, 0.2) == pytest.approx(1 - NormalDist().cdf(1.5), rel=1e-12)
    assert [upper_tail_probability(excess, 0.0) for excess in (1.0, 0.0, -1.0)] == [0.0, 1.0, 1.0]


@given(st.floats(-30, 30), st.floats(1, 1e5))
def test_tail_and_half_width_are_student_s(t, df):
    law = scipy.stats.t(df)
    assert upper_tail_probability(3 * t, 3.0, df) == pytest.approx(law.sf(t), rel=1e-8, abs=1e-300)
    assert half_width_95(df) == pytest.approx(law.ppf(0.975), rel=1e-8)


@each(
    ("difference", "se", "margin", "verdict"),
    [
        (-1.0, 0.1, 0.05, "better"),
        (1.0, 0.1, 0.05, "worse"),
        (0.001, 0.1, 1.0, "equivalent"),
        (0.5, 0.01, 1.0, "equivalent"),  # real, and too small to matter
        (0.1, 0.1, 0.05, "inconclusive"),
        (0.0, 0.0, 0.01, "equivalent"),
        (0.0, 0.0, 0.0, "equivalent"),  # the same numbers
        (1e-3, 0.0, 0.0, "worse"),
    ],
)
def test_verdict__of_a_line(difference, se, margin, verdict):
    assert judge_table([Evidence(difference, se, margin)]) == [verdict]


def test_tail__of_an_error_far_below_the_difference_is_0():
    assert [upper_tail_probability(sign, 1e-200, 5.0) for sign in (1.0, -1.0)] == [0.0, 1.0]


def test_edges_are_where_the_tests_have_their_level():
    z2, z1 = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.95)
    assert judge_table([Evidence(z2 + 1e-6, 1, 0)]) == ["worse"]
    assert judge_table([Evidence(z2 - 1e-6, 1, 0)]) == ["inconclusive"]
    assert judge_table([Evidence(0, 1, z1 + 1e-6)]) == ["equivalent"]
    assert judge_table([Evidence(0, 1, z1 - 1e-6)]) == ["inconclusive"]


def test_lines_without_evidence_are_no_tests():
    line = Evidence(2.0, 1.0, 0.0)  # p = 0.046: significant alone, not beside a second test
    assert judge_table([None, line, None]) == ["no verdict", "worse", "no verdict"]
    assert judge_table([line, Evidence(0.0, 1.0, 0.0)]) == ["inconclusive"] * 2


def test_false_claims_about_tables_of_nothing_stay_below_the_level():
    rng = np.random.default_rng(0)
    tables = [
        judge_table([Evidence(float(d), 1.0, 0.0) for d in rng.normal(size=20)])
        for _ in range(1000)
    ]
    wrong = sum(any(verdict in ("better", "worse") for verdict in table) for table in tables)
    assert wrong / 1000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert wrong > 20  # Holm is not vacuous: near the level for independent lines
