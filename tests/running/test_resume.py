"""A run that is killed, or extended, ends as one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import new_processes
import pytest
from quiet_runs import quiet_run

from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.run_directory.run_dir import RunDir

SUITE = """
models = ["gmm-2d"]
samplers = ["euler", "heun", "ddpm", "scipy_rk45"]
nfe = [10]
tolerances = [1e-3]
samples = 520
batch_size = 64
reference_samples = 16
converged_samples = 64
timing = { enabled = false }
"""
QUALITY = [
    "sampler",
    "budget",
    "nfe",
    "depth",
    "fid_proxy",
    "fid_proxy_se",
    "fid_proxy_raw",
    "fd_conv",
    "fd_conv_se",
    "rmse",
    "rmse_se",
    "flip_fraction",
]


def run(suite, out):
    return quiet_run(suite, out)


def quality(table):
    return table.frame[QUALITY].to_csv(index=False, float_format="%.17g")


def files(out):
    return {
        path: path.stat().st_mtime_ns
        for path in sorted((out / "parts").rglob("*.npz"))
        if "-" in path.stem
    }


@pytest.mark.slow
def test_two_kills_leave_the_quality_columns_bit_identical(tmp_path):
    toml = tmp_path / "kill.toml"
    toml.write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "samplerbench.benchmarks",
        "run",
        str(toml),
        "--out",
        str(tmp_path / "killed"),
        "--no-timing",
        "--no-isolation",  # tests/faults kills runs with workers
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    kept: dict[Path, int] = {}
    for kill in range(2):
        process = new_processes.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while (
            len(files(tmp_path / "killed") if (tmp_path / "killed").exists() else {})
            <= 2 * kill + 1
        ):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = files(tmp_path / "killed")
        assert kept.items() <= now.items(), "a finished part was computed again"
        kept = now
    suite = check_suite({"name": "kill", **__import__("tomllib").loads(SUITE)}, "test")
    resumed, whole = run(suite, tmp_path / "killed"), run(suite, tmp_path / "whole")
    assert kept.items() <= files(tmp_path / "killed").items()
    assert quality(resumed) == quality(whole)


def small(**change):
    base = {
        "name": "small",
        "models": ["gmm-2d"],
        "samplers": ["euler"],
        "steps": [4],
        "samples": 100,
        "batch_size": 16,
        "reference_samples": 8,
        "converged_samples": 32,
        "timing": {"enabled": False},
    }
    return check_suite({**base, **change}, "test")


def test_a_finished_run_computes_nothing_again(tmp_path):
    first = run(small(), tmp_path / "out")
    before = files(tmp_path / "out")
    second = run(small(), tmp_path / "out")
    assert files(tmp_path / "out") == before
    assert quality(first) == quality(second)


def test_more_samples_extend_a_cell_and_agree_with_a_run_from_nothing(tmp_path):
    run(small(), tmp_path / "out")
    before = files(tmp_path / "out")
    extended = run(small(samples=180), tmp_path / "out").frame.iloc[0]
    fresh = run(small(samples=180), tmp_path / "fresh").frame.iloc[0]
    assert before.items() <= files(tmp_path / "out").items()
    assert extended["samples"] == 180
    assert extended["fid_proxy_raw"] == pytest.approx(fresh["fid_proxy_raw"], rel=1e-9)
    assert extended["rmse"] == fresh["rmse"]


def test_another_selection_adds_cells(tmp_path):
    run(small(), tmp_path / "out")
    table = run(small(samplers=["heun"]), tmp_path / "out")
    assert sorted(table.frame["sampler"]) == ["euler", "heun"]


@pytest.mark.slow
def test_the_batch_size_does_not_change_an_exact_models_samples(tmp_path):
    tables = [
        run(small(samplers=["euler", "ddpm", "heun"], samples=40, batch_size=b), tmp_path / str(b))
        for b in (1, 7, 256)
    ]
    assert len({quality(t) for t in tables}) == 1


def test_a_run_directory_says_what_it_ran(tmp_path):
    run(small(), tmp_path / "out")
    record = RunDir.open(tmp_path / "out").read_run()
    assert record["suite"]["samples"] == 100
    assert record["provenance"]["torch"]["version"]
    assert record["models"]["gmm-2d"]


@pytest.mark.slow
def test_more_reference_samples_are_those_of_a_run_from_nothing(tmp_path):
    """Of the first 512 samples, a whole shard, 8 were kept: that shard is sampled again, so
    that the endpoints of sample 8 on are there.
    """
    out, asked = tmp_path / "out", {"samples": 520, "reference_samples": 516, "keep": 1}
    run(small(samples=512, keep=0), out)
    extended = run(small(**asked), out).frame.iloc[0]
    fresh = run(small(**asked), tmp_path / "fresh").frame.iloc[0]
    assert (extended["rmse_samples"], fresh["rmse_samples"]) == (516, 516)
    for column in ("rmse", "rmse_se", "flip_fraction", "duplicates"):
        assert extended[column] == fresh[column]


@pytest.mark.slow
def test_kept_samples_of_several_shards_join_up_to_the_limit(tmp_path):
    frame = run(small(samples=1030, reference_samples=514), tmp_path / "out").frame
    assert frame["rmse_samples"].tolist() == [514]
    assert run(small(samples=1030, reference_samples=520), tmp_path / "out").frame[
        "rmse_samples"
    ].tolist() == [520]
