"""What run.json says of the runs into a folder."""

import json

import pytest
from quiet_runs import quiet_run

from samplerbench.benchmarks.running.provenance import provenance
from samplerbench.benchmarks.suites.suite import check_suite

SUITE = {
    "name": "t",
    "nfe": [5],
    "samples": 16,
    "reference_samples": 4,
    "converged_samples": 16,
    "timing": {"enabled": False},
}


def test_run_json__has_the_models_and_samplers_of_all_rows(tmp_path):
    about = {}
    for model, sampler in (("gmm-2d", "euler"), ("gaussian", "ddim"), ("gaussian", "heun")):
        suite = {**SUITE, "models": [model], "samplers": [sampler]}
        quiet_run(check_suite(suite, "t"), tmp_path)
        earlier, about = about, json.loads((tmp_path / "run.json").read_text())
    for part in ("models", "references", "start_errors", "fingerprints"):
        assert set(about[part]) == {"gmm-2d", "gaussian"}
        assert about[part] == earlier[part]
    assert set(about["citations"]) == {"euler", "ddim", "heun"}


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/bin/samplerbench", "run", "quick"], ["samplerbench", "run", "quick"]),
        (["/x/samplerbench/__main__.py", "run", "quick"], ["samplerbench", "run", "quick"]),
        (["mine.py", "run", "quick"], ["python", "mine.py", "run", "quick"]),
        (
            ["/x/ipykernel_launcher.py", "-f", "k"],
            ["python", "/x/ipykernel_launcher.py", "-f", "k"],
        ),
    ],
)
def test_provenance__the_command_is_the_one_that_ran(monkeypatch, argv, command):
    monkeypatch.setattr("sys.argv", argv)
    assert provenance("cpu")["command"] == command
