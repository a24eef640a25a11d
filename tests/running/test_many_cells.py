"""What a run costs where cells cost nothing: counts of what takes time, not seconds."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest
from quiet_runs import quiet_run

from samplerbench.benchmarks.perf.tiny_cells import EACH, SAMPLERS, suite_toml
from samplerbench.benchmarks.running.executors import tasks
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.run_directory import file_cache

COUNTED = {
    "written": (file_cache, "write_bytes"),
    "fingerprints": (tasks, "sampler_fingerprint"),
    "shards": (tasks, "sample_shard"),
    "opened": (file_cache, "open_sealed"),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The folder of a run of tiny cells, and how often each thing was done, and the second time."""
    out, counts = tmp_path_factory.mktemp("tiny") / "run", (Counter(), Counter())
    asked = check_suite(tomllib.loads(suite_toml(EACH)), "tiny")
    for count in counts:
        with pytest.MonkeyPatch.context() as patch:
            for name, (module, function) in COUNTED.items():
                patch.setattr(module, function, _counting(getattr(module, function), count, name))
            table = quiet_run(asked, out)
        assert list(table.frame["status"]) == ["ok"] * EACH
    return out, *counts


def _counting(function, count, name):
    def call(*args, **options):
        count[name] += 1
        return function(*args, **options)

    return call


@pytest.mark.slow
def test_a_tiny_cell_takes_five_files_and_one_fingerprint(counted):
    _, first, _ = counted
    assert first["shards"] == EACH
    # cell, made, shard, quality, influence; besides run.json, fingerprints and references
    assert first["written"] - 5 * EACH in range(20)
    assert first["fingerprints"] <= EACH
    # what was written just now is known, so that only what is not there is looked for
    assert first["opened"] <= 7 * EACH + 40


@pytest.mark.slow
def test_a_finished_cell_is_looked_at_once(counted):
    _, _, again = counted
    assert not again["written"]
    assert not again["shards"]
    assert again["opened"] <= 7 * EACH + 40  # two of them pictures, which are not there


def test_tiny_cells_are_as_many_as_asked_for():
    asked = check_suite(tomllib.loads(suite_toml(10_000)), "tiny")
    assert len(asked.schedules) * len(asked.steps) * len(SAMPLERS) == 10_000
