"""A row that fails as it is extended is closed, and what earlier looks found of it is not shown
as if it were still so.
"""

import pytest
from quiet_runs import quiet_setup

from samplerbench.benchmarks.cli.run import print_verdicts
from samplerbench.benchmarks.running.executors import tasks as running
from samplerbench.benchmarks.running.sequential_sampling import run_until_decided
from samplerbench.benchmarks.sampling.failure import Failure
from samplerbench.benchmarks.suites.suite import Until, check_suite

SUITE = {
    "name": "t",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun"],
    "nfe": [5],
    "samples": 16,
    "reference_samples": 8,
    "converged_samples": 64,
    "keep": 0,
    "timing": {"enabled": False},
}


@pytest.mark.parametrize("first_sample", [0, 16])
def test_a_row_that_diverges_at_a_look_is_closed_as_failed(
    tmp_path, monkeypatch, capsys, first_sample
):
    sample = running.sample_shard

    def diverging(model, reference, cell, start, stop, *rest):
        if cell.sampler.name == "heun" and stop > first_sample:
            raise Failure("diverged", "3 samples are not finite")
        return sample(model, reference, cell, start, stop, *rest)

    monkeypatch.setattr(running, "sample_shard", diverging)
    until = Until(baseline="euler", metric="fid_proxy", margin=0.0, max_samples=64)
    setup = quiet_setup(check_suite(SUITE, "t"), tmp_path)
    # no look decides
    monkeypatch.setattr(
        "samplerbench.benchmarks.running.sequential_sampling.level_of_test", lambda look, rows: 0.0
    )
    _, looks = run_until_decided(setup, until)
    look = 1 if first_sample == 0 else 2
    (row,) = looks.rows
    assert (row["verdict"], row["reason"], row["look"]) == (
        "failed",
        "diverged: 3 samples are not finite",
        look,
    )
    assert (row["model"], row["curve"], row["budget"], row["samples"]) == (
        "gmm-2d",
        "heun",
        5,
        16 * look,
    )
    assert "difference" not in row
    assert looks.number == look  # nothing was left to extend
    print_verdicts(looks)
    printed = capsys.readouterr().out
    assert "1 failed." in printed
    assert "1 without a decision: diverged: 3 samples are not finite." in printed
