"""What continuous integration is made of agrees with what the package declares."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from setuptools import PackageFinder

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def script(name):
    """A script of ``.ci/``."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lowest():
    """The script that prints the lowest versions."""
    return script("lowest")


def test_every_requirement_is_held_at_its_lower_bound(lowest):
    text = '[project]\ndependencies = ["torch>=2.6", "a-b [x] >= 1.0, <3"]\n'
    assert lowest.constraints(text) == ["torch==2.6", "a-b==1.0"]
    declared = tomllib.loads(PYPROJECT)["project"]["dependencies"]
    assert len(lowest.constraints(PYPROJECT)) == len(declared) > 10


@pytest.mark.parametrize("requirement", ["torch", "torch==2.6", "torch<3", "torch~=2.6"])
def test_a_requirement_without_a_lower_bound_is_named(lowest, requirement):
    with pytest.raises(ValueError, match=f"'{requirement}' has no lower bound"):
        lowest.constraints(f'[project]\ndependencies = ["{requirement}"]\n')


def test_the_workflow_begins_at_the_lowest_python(lowest):
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f'versions: lowest, python: "{lowest.lowest_python(PYPROJECT)}"' in workflow
    assert "bash .ci/run" in workflow


def test_extras_have_lower_bounds_too():
    extras = tomllib.loads(PYPROJECT)["project"]["optional-dependencies"]
    assert {"dev", "docs", "peers"} <= set(extras)
    assert all(">=" in line for lines in extras.values() for line in lines)


def test_parity__has_every_extra_that_a_test_may_need():
    (peers,) = re.findall(r"^PEERS +:= (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    extras = set(tomllib.loads(PYPROJECT)["project"]["optional-dependencies"])
    # diffusers is one of the peers; the site and a card have commands of their own
    assert set(peers.split(",")) == extras - {"diffusers", "docs", "gpu"}


def test_ci_run__runs_what_tests_skipped_and_says_what_nothing_proves():
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    at = [
        lines.index(line)
        for line in (
            'make test PYTHON="$PYTHON"',
            'make slow PYTHON="$PYTHON"',
            '  make parity PYTHON="$PYTHON"',
        )
    ]
    assert at == sorted(at)
    assert lines[-2:] == ['echo "$skipped"', 'echo "== all good"']


def test_skipped__names_what_no_report_ran(tmp_path):
    skip = '<testcase classname="{}" name="{}"><skipped message="{}"/></testcase>'
    module = '<testcase classname="" name="t.test_b"><skipped message="collection skipped">'
    module += "('test_b.py', 2, 'Skipped: no lib')</skipped></testcase>"
    ran = '<testcase classname="{}" name="{}"/>'
    reports = {
        "tests": [skip.format("t.test_a", "x[1]", "no lib"), module, ran.format("t.test_a", "z")],
        "parity": [
            ran.format("t.test_a", "x[1]"),
            ran.format("t.test_b", "y"),
            skip.format("t.test_b", "w", "peer 'edm:one' runs from a clone"),
            skip.format("t.test_b", "v", "peer 'edm:two' runs from a clone"),
        ],
    }
    skipped, found = script("skipped"), {}
    for name, cases in reports.items():
        (tmp_path / name).write_text(f"<testsuite>{''.join(cases)}</testsuite>", "utf-8")
        found[name] = skipped.outcomes(tmp_path / name)
    assert [test for test, why in found["tests"].items() if why] == [
        "t/test_a.py::x[1]",
        "t/test_b.py",
    ]
    assert skipped.table(found).splitlines() == [
        "tests: 2 of 3 skipped",
        "parity: 2 of 4 skipped",
        "proven nowhere: 2",
        "     2  peer edm runs from a clone",
    ]
    assert skipped.proven_nowhere([found["tests"]]) == dict.fromkeys(
        ["t/test_a.py::x[1]", "t/test_b.py"], "no lib"
    )


def test_wheel__has_every_module_and_data_file():
    """setuptools leaves out in silence what is not declared; CI sees it in the wheel, minutes later."""
    declared = tomllib.loads(PYPROJECT)["tool"]["setuptools"]
    found = declared["packages"]["find"]
    packages = PackageFinder.find(str(ROOT), include=found["include"])
    folders = {ROOT.joinpath(*name.split(".")) for name in packages}
    data = {
        file
        for name, globs in declared["package-data"].items()
        for glob in globs
        for file in ROOT.joinpath(*name.split(".")).glob(glob)
    }
    top = ROOT / "samplerbench"
    not_shipped = [top / "results/reference", top / "results/runs"]
    forgotten = [
        str(file.relative_to(ROOT))
        for folder in (top, *(path for path in top.iterdir() if path.is_symlink()))
        for file in folder.rglob("*")
        if file.is_file()
        and "__pycache__" not in file.parts
        and not any(file.is_relative_to(folder) for folder in not_shipped)
        and not (file.suffix == ".py" and file.parent in folders)
        and file not in data
    ]
    assert len(folders) > 40
    assert not forgotten
