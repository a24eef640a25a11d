"""Evaluations until the floor: exact on power laws, covered by its interval, and honest about
what was not measured.
"""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.results.comparison.headline import (
    crossing_in_words,
    find_crossing,
    headline_of_problem,
    headline_table,
)
from samplerbench.results.result_table import ResultTable
from samplerbench.results.table.curves import comparable_parts
from samplerbench.results.text import interval_ends

NFE = [5, 10, 20, 40, 80]


def cross(values, errors, tolerance):
    return find_crossing(
        NFE,
        list(values),
        [interval_ends(f, s) for f, s in zip(values, errors, strict=True)],
        tolerance,
    )


@given(st.floats(0.5, 4), st.floats(5.5, 79))
def test_a_power_law_crosses_where_it_should(order, at):
    tolerance = 0.02
    found = cross([tolerance * (at / n) ** order for n in NFE], [0.0] * 5, tolerance)
    # above what counts as 0
    if tolerance * (at / NFE[np.searchsorted(NFE, at)]) ** order > 0.1 * tolerance:
        assert found == pytest.approx((at, at, at), rel=1e-9)
    assert found.low == found.value == found.high


def test_what_was_not_measured_is_said():
    assert cross([1.0] * 5, [0.1] * 5, 0.5).value == math.inf
    assert crossing_in_words(cross([1.0] * 5, [0.0] * 5, 0.5), 5, 80) == "> 80"
    assert crossing_in_words(cross([0.1] * 5, [0.0] * 5, 0.5), 5, 80) == "≤ 5"
    found = cross([1.0, 0.45, 0.45, 0.45, 0.45], [0.1] * 5, 0.5)
    assert found.high == math.inf
    assert crossing_in_words(found, 5, 80).endswith(", > 80]")


def test_a_curve_must_stay_within_the_tolerance():
    assert 20 < cross([0.1, 0.1, 1.0, 0.1, 0.1], [0.0] * 5, 0.5).value < 40
    # debiased values may be negative
    assert cross([1.0, -0.5, -0.1, -0.2, 0.0], [0.0] * 5, 0.5).value < 10


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_the_interval_covers_whatever_the_errors_share(shared):
    rng = np.random.default_rng(0)
    truth = np.array([0.02 * (17 / n) ** 2 for n in NFE])
    errors = np.array([0.05, 0.01, 0.004, 0.003, 0.003])
    z = math.sqrt(shared) * rng.normal(size=(2000, 1)) + math.sqrt(1 - shared) * rng.normal(
        size=(2000, 5)
    )
    found = [cross(values, errors, 0.02) for values in truth + errors * z]
    exact = cross(truth.tolist(), [0.0] * 5, 0.02).value
    covered = np.mean([one.low <= exact <= one.high for one in found])
    assert covered >= 0.94
    if shared == 1:
        assert covered <= 0.965  # and it is no wider than it must be there


def table(curves, samples=1000, floor=0.02, **more):
    rows = [
        {
            "model": "m",
            "sampler": name,
            "budget": n,
            "nfe": float(n),
            "samples": samples,
            "fd_conv": f,
            "fd_conv_se": 0.001,
            "status": "ok",
            "fid_proxy_floor": floor,
            "estimator": "e",
            **more,
        }
        for name, values in curves.items()
        for n, f in zip(NFE, values, strict=True)
    ]
    return ResultTable.of(rows)


def test_the_table_has_a_line_for_each_curve_best_first():
    found = headline_table(
        table({"slow": [1, 0.5, 0.1, 0.03, 0.01], "quick": [0.3, 0.03, 0.01, 0, 0]}, fid_flag="few")
    )
    assert list(found["curve"]) == ["quick", "slow"]
    assert list(found.columns[:5]) == ["model", "curve", "nfe_to_floor", "low", "high"]
    assert ((found["low"] < found["nfe_to_floor"]) & (found["nfe_to_floor"] < found["high"])).all()
    assert set(found["flag"]) == {"few"}


def test_the_flag_is_that_of_the_distance_to_converged_samples():
    curves = {"a": [1, 0.5, 0.1, 0.03, 0.01]}
    assert set(headline_table(table(curves, fid_flag="few", fd_conv_flag=""))["flag"]) == {""}
    assert set(headline_table(table(curves, fid_flag="", fd_conv_flag="few"))["flag"]) == {"few"}


def test_all_curves_of_a_model_share_the_floor_of_the_fewest_samples():
    long, short = (
        table({"a": [1, 0.05, 0.01, 0, 0]}, samples=n, floor=20 / n).frame for n in (10_000, 1000)
    )
    both = ResultTable.typed(pd.concat([long, short.assign(sampler="b")]))
    found = headline_table(both)
    assert set(found["tolerance"]) == {0.02}
    assert set(found["samples"]) == {1000}
    assert found["nfe_to_floor"].nunique() == 1


def test_rows_without_what_it_takes_are_left_out():
    assert not len(headline_table(ResultTable.of([])))
    assert not len(headline_table(table({"a": [1, 1, 1, 1, 1]}, floor=None)))
    assert not len(headline_table(table({"a": [None] * 5})))


@pytest.mark.parametrize("flag", ["", "few"])
def test_headline_of_problem__a_curve_that_diverged_later_needs_more_than_was_tried(flag):
    """Its diverged rows counted as not tried: it "may need as few", with "> 5"."""
    curves = {"good": [0.1, 0.01, 0, 0, 0], "lost": [0.1] * 5, "between": [0.01, 0.01, 0.01, 0, 0]}
    frame = table(curves, fd_conv_flag=flag).frame
    gone = (frame["sampler"] == "lost") & (frame["budget"] > 5)
    gone |= (frame["sampler"] == "between") & (frame["budget"] == 10)
    frame.loc[gone, "status"] = "diverged"
    frame.loc[gone, ["nfe", "fd_conv", "fd_conv_se", "fid_proxy_floor"]] = None
    found = headline_table(ResultTable.typed(frame)).set_index("curve")
    assert found.loc["lost", ["shown", "flag", "verdict"]].tolist() == ["> 80", "", "worse"]
    assert 19 < found.loc["between", "nfe_to_floor"] <= 20, (
        "not before the budget where it diverged"
    )
    assert found.index[0] == "good"


def test_headline_of_problem__a_curve_lost_within_the_interval_of_the_first_has_no_verdict():
    frame = table(
        {"good": [0.1, 0.1, 0.1, 0.018, 0.001], "lost": [0.1] * 5}, fd_conv_se=0.004
    ).frame
    frame = frame[(frame["sampler"] == "good") | (frame["budget"] <= 40)]
    gone = (frame["sampler"] == "lost") & (frame["budget"] == 40)
    frame.loc[gone, ["nfe", "fd_conv", "fd_conv_se", "fid_proxy_floor"]] = None
    frame.loc[gone, "status"] = "diverged"
    found = headline_table(ResultTable.typed(frame)).set_index("curve")
    assert found["nfe_to_floor"]["good"] < 40 < found["high"]["good"]
    assert found["verdict"]["lost"] != "worse"


def test_headline_of_problem__an_interpolated_crossing_shows_nothing_between_two_budgets():
    """Between 10 and 20 either may be first: a row there put the second one before."""
    curves = {"first": [1, 0.5, 0.001, 0, 0], "second": [9, 8, 0, 0, 0]}
    found = headline_table(table(curves, fd_conv_se=1e-6)).set_index("curve")
    assert found.index[0] == "first"
    assert found["high"]["first"] < found["low"]["second"]
    assert found["verdict"]["second"] == "inconclusive"
    curves["second"][2] = 1
    found = headline_table(table(curves, fd_conv_se=1e-6)).set_index("curve")
    assert found["verdict"]["second"] == "worse", "above the tolerance where the first is within it"


def test_headline_of_problem__names_curves_as_the_rest_of_the_page_does():
    """The seeds differ between the two estimators of a model, but not within either."""
    parts = [
        table({"a": [1, 0.1, 0.01, 0, 0]}, estimator=name, seed=seed).frame
        for seed, name in enumerate(("first", "second"))
    ]
    frame = ResultTable.typed(pd.concat(parts)).frame
    for (_, rows), seed in zip(comparable_parts(frame), (0, 1), strict=True):
        assert set(headline_of_problem(rows)["curve"]) == {f"a · seed {seed}"} == set(rows["curve"])
