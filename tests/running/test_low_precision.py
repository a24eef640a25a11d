"""Runs with networks and states in low precision: the suite's key, columns, and references."""

import pandas as pd
import pytest

from samplerbench import run
from samplerbench.benchmarks.suites.suite import Suite

SETTINGS = {
    "samplers": ["euler", "dpmpp_2m"],
    "schedules": ["karras"],
    "nfe": [6, 24],
    "samples": 96,
    "reference_samples": 96,
    "converged_samples": 64,
    "timing": False,
}


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    """Table of a run of an exact problem with networks in two precisions, and its folder."""
    out = tmp_path_factory.mktemp("run") / "low"
    result = run(models=["gmm-64d"], network_dtype=["float32", "bfloat16"], out=out, **SETTINGS)
    return result.frame.set_index(["model", "sampler", "nfe"]), out


def of(table, dtype):
    return table.loc[f"gmm-64d(network_dtype='{dtype}')"]


def test_suite__takes_network_dtype_as_an_axis_of_its_models():
    suite = Suite.model_validate(
        {
            "name": "s", "models": ["gmm-2d", {"name": "digits", "samples": 8}],
            "samplers": ["euler"], "nfe": [5], "network_dtype": ["float32", "bfloat16"],
        }
    )  # fmt: skip
    assert [m.name["network_dtype"] for m in suite.models] == ["float32", "bfloat16"] * 2
    assert [m.samples for m in suite.models] == [None, None, 8, 8]


@pytest.mark.slow
def test_run__measures_rounding_against_the_same_run_in_full_precision(rounded):
    table, _ = rounded
    low, single = of(table, "bfloat16"), of(table, "float32")
    assert (single.rounding_error < 1e-6).all()
    assert (low.rounding_error > 1e-4).all()
    assert (low.rounding_error < 1e-2).all()
    # 16 bits of difference in the mantissa
    ratio = low.rounding_error / single.rounding_error
    assert ((ratio > 2**12) & (ratio < 2**20)).all()
    share = (low.rounding_error / low.typical_error) ** 2
    pd.testing.assert_series_equal(low.rounding_share, share, check_names=False, rtol=1e-6)


@pytest.mark.slow
def test_run__compares_low_precision_with_endpoints_in_full_precision(rounded):
    table, _ = rounded
    low, single = of(table, "bfloat16"), of(table, "float32")
    moved = (low.rmse - single.rmse).abs()
    assert (moved <= low.rounding_rmse + 1e-9).all()
    assert (low.rmse_resolution == 0).all()


def test_run__keeps_a_finished_run_of_low_precision(rounded):
    _, out = rounded
    quality = {path: path.stat().st_mtime_ns for path in out.rglob("quality.json")}
    assert quality
    run(models=["gmm-64d"], network_dtype=["float32", "bfloat16"], out=out, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in quality} == quality


def test_run__rounds_states(tmp_path):
    table = run(models=["gmm-64d"], dtype="bfloat16", out=tmp_path / "r", **SETTINGS).frame
    assert (table.status == "ok").all()
    assert table.rounding_error.between(1e-3, 0.2).all()
    assert (table.rmse_resolution == 0).all()


def test_run__has_no_rounding_in_full_precision(tmp_path):
    settings = SETTINGS | {"nfe": [6]}
    table = run(models=["gmm-64d"], out=tmp_path / "r", **settings).frame
    assert table.rounding_error.isna().all()
