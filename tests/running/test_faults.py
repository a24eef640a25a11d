"""A faulty sampler is a row with a status and a reason; the rest of the run goes on."""

from pathlib import Path

import pytest
from quiet_runs import quiet_run

from samplerbench import samplers
from samplerbench.benchmarks.suites.suite import check_suite

PLUGINS = Path(__file__).with_name("plugins.py")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    samplers.load_file(PLUGINS)
    suite = check_suite(
        {
            "name": "faults",
            "models": ["gmm-2d"],
            "samplers": ["honest", "liar", "exploder", "raiser", "shrinker", "dpm_solver_3"],
            "steps": [3],
            "samples": 64,
            "reference_samples": 8,
            "converged_samples": 64,
            "timing": {"enabled": False},
        },
        "test",
    )
    table = quiet_run(suite, tmp_path_factory.mktemp("run") / "out")
    return {row["sampler"]: row for row in table.frame.to_dict(orient="records")}


def test_a_sampler_that_lies_about_nfe_gives_a_failed_row(rows):
    assert rows["liar"]["status"] == "failed"
    assert rows["liar"]["reason"] == "counted 3 evaluations per sample, but nfe() says 2"


def test_a_sampler_that_yields_nan_gives_a_diverged_row(rows):
    assert rows["exploder"]["status"] == "diverged"
    assert "1 of 64 samples are not finite" in rows["exploder"]["reason"]


def test_a_sampler_that_raises_gives_a_failed_row_with_its_message_on_one_line(rows):
    assert (rows["raiser"]["status"], rows["raiser"]["reason"]) == (
        "failed",
        "ZeroDivisionError: a step went wrong",
    )


def test_a_wrong_shape_gives_a_failed_row(rows):
    assert rows["shrinker"]["status"] == "failed"
    assert "expected (64, 2)" in rows["shrinker"]["reason"]


def test_the_rest_of_the_run_goes_on(rows):
    assert rows["honest"]["status"] == rows["dpm_solver_3"]["status"] == "ok"
    assert rows["honest"]["fid_proxy"] > 0
    assert rows["dpm_solver_3"]["nfe"] == 7
