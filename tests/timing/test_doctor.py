"""``samplerbench doctor``: facts that are facts, a verdict that follows from times, and exit
code 1 where something needed is broken.
"""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from samplerbench.benchmarks import cli
from samplerbench.benchmarks.cli.common import console
from samplerbench.benchmarks.timing import machine
from samplerbench.benchmarks.timing.doctor import (
    RequiredPackage,
    Steadiness,
    _broken_models,
    _summarise_times,
    diagnose_machine,
    measure_steadiness,
    required_packages,
)
from samplerbench.models.cards.network import NETWORKS


@pytest.fixture(scope="module")
def found():
    return diagnose_machine(seconds=0.1)


@pytest.fixture
def doctor(monkeypatch, capsys, found):
    """Run the command on what was found: (exit code, stdout)."""
    monkeypatch.setattr(
        "samplerbench.benchmarks.timing.doctor.diagnose_machine", lambda seconds: found
    )

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["samplerbench", "doctor", *args])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().out

    return call


def test_nothing_is_broken_where_the_tests_run(found):
    assert found.broken == []
    assert {"torch", "numpy"} <= {package.name for package in found.packages if package.fits}


def test_broken_models__each_shipped_network_is_tried(monkeypatch):
    def refuse(name):
        raise ValueError("its weights are damaged")

    monkeypatch.setattr("samplerbench.benchmarks.timing.doctor.make_model", refuse)
    assert [sentence.split()[1] for sentence in _broken_models()] == list(NETWORKS)


def test_it_prints_json_with_everything(doctor):
    code, out = doctor("--json")
    said = json.loads(out)
    assert code == 0
    assert said["machine"]["cores"] == os.cpu_count()
    assert {
        "version",
        "machine",
        "conditions",
        "device",
        "threads",
        "counters",
        "steadiness",
        "packages",
        "extras",
        "broken",
    } == set(said)
    assert said["steadiness"]["cpu"]["verdict"].startswith(("Times", "Medians"))
    assert said["extras"]
    assert all(extra["for"] for extra in said["extras"].values())


def test_text_fits_80_columns_but_for_the_verdict(doctor, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 80)
    code, out = doctor()
    assert code == 0
    facts, _, verdict = out.partition("\ncpu: ")
    assert max(map(len, facts.splitlines())) <= 80
    sentences, _, following = verdict.partition("\nNext: ")
    assert sentences.strip().endswith(".")
    assert following.strip() == "samplerbench run quick"


def test_exit_code_1_where_something_needed_is_broken(doctor, found, monkeypatch):
    monkeypatch.setattr(
        "samplerbench.benchmarks.timing.doctor.diagnose_machine",
        lambda seconds: replace(found, broken=["torch is missing"]),
    )
    code, out = doctor()
    assert code == 1
    assert "broken: torch is missing" in out


# -- verdicts
# --------------------------------------------------------------------------------------------------------------------------


def steady(spread=0.01, doubts=()):
    return Steadiness(ms=1.0, spread=spread, half_width=0.01, slowest=1.1, runs=100, doubts=doubts)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (steady(), "Times taken here can be trusted"),
        (steady(spread=0.05), "Medians of many times can be trusted, single ones cannot"),
        (steady(spread=0.5), "are not to be trusted: the same work took times that spread by 50%."),
        (
            steady(doubts=("waited for a core 40% of the time",)),
            "are not to be trusted: waited for a core 40% of the time.",
        ),
    ],
)
def test_the_verdict_is_one_sentence_that_follows_from_the_times(found, says):
    assert says in found.verdict
    assert found.verdict.endswith(".")


def test_the_summary_of_known_times():
    found = _summarise_times([float(i) for i in range(1, 102)], ())
    assert (found.ms, found.runs) == (51.0, 101)
    assert found.spread == pytest.approx(50 / 51)
    assert found.slowest == pytest.approx(101 / 51)


def test_the_reference_work_is_timed_for_as_long_as_asked():
    found = measure_steadiness("cpu", seconds=0.05)
    assert found.runs * found.ms < 1000
    assert found.ms > 0
    assert np.isfinite(found.spread)


# -- machine and counters
# --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000", 2.0), ("50000 100000", 0.5), ("max 100000", None), ("", None)],
)
def test_the_limit_of_a_container_of_version_2(tmp_path, monkeypatch, text, cores):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "CGROUP_1", tmp_path / "none")
    assert machine.cpu_limit() == cores


@pytest.mark.parametrize(("quota", "cores"), [("150000", 1.5), ("-1", None)])
def test_the_limit_of_a_container_of_version_1(tmp_path, monkeypatch, quota, cores):
    (tmp_path / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(machine, "CGROUP_1", tmp_path)
    assert machine.cpu_limit() == cores


def test_facts_that_cannot_be_read_are_none(tmp_path, monkeypatch):
    for name in ("CGROUP", "CGROUP_1", "CPUFREQ"):
        monkeypatch.setattr(machine, name, tmp_path)
    facts = machine.describe_host()
    assert facts["cpu_limit"] is facts["governor"] is None
    assert facts["cores"] == os.cpu_count()


# -- packages
# --------------------------------------------------------------------------------------------------------------------------


def test_requirements_as_metadata_writes_them():
    found = required_packages(
        [
            "pyright[nodejs]>=1.1 ; extra == 'dev'",
            "torch>=2.6",
            'no-such-thing>=1; extra == "gpu"',
            "numpy (>=999)",
        ]
    )
    by_name = {package.name: package for package in found}
    assert (by_name["torch"].extra, by_name["torch"].needs, by_name["torch"].fits) == (
        "",
        ">=2.6",
        True,
    )
    assert (by_name["pyright"].extra, by_name["pyright"].needs) == ("dev", ">=1.1")
    assert (by_name["no-such-thing"].version, by_name["no-such-thing"].extra) == (None, "gpu")
    assert not by_name["numpy"].fits
    assert [package.extra for package in found] == ["", "", "dev", "gpu"]


@pytest.mark.parametrize(
    ("version", "needs", "fits"),
    [
        ("2.13.0+cpu", ">=2.6", True),
        ("2.5.1", ">=2.6", False),
        ("10.0", ">=9", True),
        ("25.1", ">=15,<26", True),
        ("27.0", ">=15,<26", False),
        ("2.7.0rc1", ">=2.6", True),
        ("1.0", "", True),
        (None, "", False),
    ],
)
def test_versions_are_compared_as_numbers(version, needs, fits):
    assert RequiredPackage("x", needs, "", version).fits is fits
