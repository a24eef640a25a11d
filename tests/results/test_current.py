"""A report that is the one that would be written now is not written again, and anything that
changes makes it another.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from new_runs import new_run

import samplerbench.results
from samplerbench.results.report import provenance as current
from samplerbench.results.report.build import write_report
from samplerbench.results.report.provenance import is_current
from samplerbench.results.run_directory.layout import QUALITY

BASELINE = "euler"


@pytest.fixture
def written(tmp_path):
    run = new_run(tmp_path / "run")
    run.write_run(
        {"suite": {"name": "quick", "models": ["gmm-2d"], "samples": 10}, "provenance": {}}
    )
    for sampler in ("euler", "heun"):
        run.plan(
            sampler,
            {
                "suite": "quick",
                "model": "gmm-2d",
                "sampler": sampler,
                "params": "{}",
                "budget": 4,
                "steps": 4,
                "samples": 10,
            },
        )
        quality = {
            "status": "ok",
            "samples": 10,
            "nfe": 4,
            "fid_proxy": 1.0,
            "fid_proxy_se": 0.1,
            "estimator": "e",
        }
        run.write_score(sampler, quality, {"influence": np.ones(10)})
    run.write_pictures("euler", {"points": np.ones((2, 2), np.float32)})
    write_report(run.path, run.path)
    return run


def test_a_report_is_current_until_something_changes(written):
    assert is_current(written.path, BASELINE)
    assert not is_current(written.path, "heun")
    page = (written.path / "report.html").read_bytes()
    write_report(written.path, written.path)
    assert (written.path / "report.html").read_bytes() == page


def test_times_of_files_say_nothing(written):
    for path in written.path.rglob("*"):
        os.utime(path, (1, 1))
    assert is_current(written.path, BASELINE)
    part = written.part_path("heun", QUALITY)
    part.write_bytes(part.read_bytes().replace(b"1.0", b"1.5", 1))  # as long as before
    os.utime(part, (1, 1))
    assert not is_current(written.path, BASELINE)


@pytest.mark.parametrize(
    "name",
    [
        "report.html",
        "table.csv",
        "table.parquet",
        "table.md",
        "table.tex",
        "run.json",
        "samples/euler.npz",
        "parts/heun/influence.npz",
    ],
)
@pytest.mark.parametrize("damage", ["bit", "deleted"])
def test_a_changed_file_makes_another_report(written, name, damage):
    path = written.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data)) if damage == "bit" else path.unlink()
    assert not is_current(written.path, BASELINE)


def test_other_code_or_libraries_make_another_report(written, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(current, "version", lambda package: "another")
        assert not is_current(written.path, BASELINE)
    assert is_current(written.path, BASELINE)
    monkeypatch.setattr(current, "_CODE", (*current._CODE, "reference/*/run.json"))
    assert not is_current(written.path, BASELINE)


def test_there_is_no_report_yet(tmp_path):
    assert not is_current(tmp_path, BASELINE)


def test_every_module_of_the_package_is_an_ingredient():
    package = Path(samplerbench.results.__path__[0])
    code = {path for pattern in current._CODE for path in package.glob(pattern)}
    folders = [path for path in package.iterdir() if (path / "__init__.py").exists()]
    modules = {path for folder in folders for path in folder.rglob("*.py")} | {
        *package.glob("*.py")
    }
    assert len(modules) > 50
    assert modules <= code
    assert {*(package / "report" / "templates").iterdir()} <= code
