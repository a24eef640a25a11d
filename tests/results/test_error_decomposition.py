"""The error decomposition: measured orders with intervals, and where the model's error rules."""

import math

import numpy as np
import pytest

from samplerbench.results.result_table import ResultTable
from samplerbench.results.table.error_decomposition import (
    dominated_from,
    error_decomposition,
    measured_order,
)


def row(sampler, nfe, error, *, dominated=None, **more):
    return {
        "model": "m",
        "sampler": sampler,
        "budget": nfe,
        "nfe": float(nfe),
        "samples": 100,
        "start": "noise",
        "end": "zero",
        "typical_error": error,
        "typical_error_se": 0.01 * error,
        "rmse_resolution": 1e-4,
        "fd_conv": error,
        "dominated": dominated,
        "estimator": "e",
        "status": "ok",
        "sigma_min": 0.002,
        **more,
    }


def test_orders_are_measured_along_each_curve():
    rows = [row(name, n, 3.0 * n**-p) for name, p in (("a", 1.0), ("b", 2.0)) for n in (5, 10, 40)]
    found = error_decomposition(ResultTable.of(rows)).set_index(["curve", "nfe"])
    assert found.loc["a", "order"].to_list()[1:] == pytest.approx([1, 1])
    assert found.loc["b", "order"].to_list()[1:] == pytest.approx([2, 2])
    assert math.isnan(found.loc[("b", 5), "order"])
    other = error_decomposition(ResultTable.of([row("a", 5, 0.1), row("b", 10, 0.05)]))
    # the first of a curve has none, though another curve ends before
    assert other["order"].isna().all()
    assert (found["order_low"].dropna() < found["order"].dropna()).all()


def test_no_order_is_claimed_below_the_resolution_of_the_endpoints():
    found = error_decomposition(
        ResultTable.of([row("a", 5, 0.1), row("a", 10, 0.5e-4), row("a", 20, 0.2e-4)])
    )
    assert found["order"].isna().all()


def test_the_standard_error_of_an_order_is_right():
    rng = np.random.default_rng(0)
    true, se = np.array([0.4, 0.1]), np.array([0.02, 0.006])
    orders = [
        measured_order((10, 20), tuple(draw), tuple(se))[0]
        for draw in true + se * rng.normal(size=(4000, 2))
    ]
    value, error = measured_order((10, 20), tuple(true), tuple(se))
    assert value == pytest.approx(2)
    assert np.std(orders) == pytest.approx(error, rel=0.05)


def test_end_and_start_have_columns_of_their_own():
    rows = [row("a", 5, 0.1), row("a", 5, 0.1, end="sigma_min")]
    found = error_decomposition(ResultTable.of(rows), {"m": {"noise": 0.03}})
    assert dict(zip(found["end"], found["end_bound"], strict=True)) == {
        "zero": 0.0,
        "sigma_min": 0.002,
    }
    assert (found["start_error"] == 0.03).all()
    assert error_decomposition(ResultTable.of(rows))["start_error"].isna().all()


def test_domination_starts_where_it_stays_and_the_leader_decides():
    leader = [(5, 0.5, True), (10, 0.3, False), (20, 0.2, True), (40, 0.1, True)]
    rows = [row("a", nfe, rmse, dominated=says) for nfe, rmse, says in leader]
    rows += [row("b", nfe, 2 * rmse, dominated=False) for nfe, rmse, _ in leader]
    (found,) = dominated_from(ResultTable.of(rows))["dominated_from"]
    assert found == 20
    rows += [row("c", 40, 0.05, dominated=False)]
    (found,) = dominated_from(ResultTable.of(rows))["dominated_from"]
    assert math.isnan(found)
    assert not len(dominated_from(ResultTable.of([row("a", 5, 0.5)])))


def test_failed_rows_and_empty_tables_have_no_errors():
    assert not len(error_decomposition(ResultTable.of([])))
    assert not len(error_decomposition(ResultTable.of([row("a", 5, 0.1, status="failed")])))
