"""What continuous integration is made of agrees with what the package declares."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lowest():
    """The script that prints the lowest versions."""
    spec = importlib.util.spec_from_file_location("lowest", ROOT / ".ci" / "lowest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_the_wheel_has_every_module_and_data_file():
    """setuptools leaves out in silence what is not declared; CI sees it in the wheel, minutes later."""
    declared = tomllib.loads(PYPROJECT)["tool"]["setuptools"]
    packages = {ROOT.joinpath(*name.split(".")[1:]) for name in declared["packages"]}
    data = {
        file
        for name, globs in declared["package-data"].items()
        for glob in globs
        for file in ROOT.joinpath(*name.split(".")[1:]).glob(glob)
    }
    not_shipped = [
        ROOT / "results" / "reference",
        ROOT / "results" / "runs",
        ROOT / "models" / "build",
    ]
    forgotten = [
        str(file.relative_to(ROOT))
        for top in declared["package-dir"].values()
        for file in (ROOT / top).rglob("*")
        if file.is_file()
        and "__pycache__" not in file.parts
        and not any(file.is_relative_to(folder) for folder in not_shipped)
        and not (file.suffix == ".py" and file.parent in packages)
        and file not in data
    ]
    assert not forgotten
