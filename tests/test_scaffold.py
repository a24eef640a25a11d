"""The generated plugin package is complete and passes its own test as generated."""

import os
import subprocess
import sys
import tomllib

import pytest

from samplerbench.benchmarks.cli.scaffold import new_solver, next_steps
from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.samplers import load_file, make, registry


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The registry as it was."""
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(registry, "_ORIGIN", dict(registry._ORIGIN))


def test_the_package_is_complete_and_passes_check(tmp_path):
    package = new_solver("my_solver", tmp_path / "plugins")
    assert package == tmp_path / "plugins" / "my_solver"
    written = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert written == {"pyproject.toml", "README.md", "src/my_solver/__init__.py", "tests/test_my_solver.py"}
    assert not [path for path in package.rglob("*") if path.is_file() and "$" in path.read_text()]
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["samplerbench.samplers"] == {"my_solver": "my_solver:MySolver"}
    assert load_file(package / "src" / "my_solver" / "__init__.py") == ["my_solver"]
    result = check_sampler("my_solver")
    assert result.passed, result.failures
    assert type(make("my_solver")).__name__ == "MySolver"


def test_the_solver_is_short(tmp_path):
    text = (new_solver("my_solver", tmp_path) / "src" / "my_solver" / "__init__.py").read_text()
    assert len(text[text.index("@dataclass") :].splitlines()) < 30


def test_its_own_test_runs(tmp_path):
    package = new_solver("my_solver", tmp_path)
    environment = os.environ | {"PYTHONPATH": str(package / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    run = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my-solver", "a solver needs a lower-case Python name such as my_solver, got 'my-solver'"),
        ("1st", "a solver needs a lower-case Python name"),
        ("", "a solver needs a lower-case Python name"),
        ("class", "a solver needs a lower-case Python name"),
        ("Mine", "a solver needs a lower-case Python name"),
        ("../up", "a solver needs a lower-case Python name"),
        ("heun", "a sampler called 'heun' already exists; choose another name"),
        ("json", "a Python module called 'json' is already installed; choose another name"),
    ],
)
def test_a_name_that_will_not_do_is_refused(tmp_path, name, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        new_solver(name, tmp_path)
    assert str(caught.value).startswith(sentence)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "my_solver").mkdir()
    (tmp_path / "my_solver" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already exists"):
        new_solver("my_solver", tmp_path)
    assert [path.name for path in (tmp_path / "my_solver").iterdir()] == ["notes.txt"]


def test_next_steps_name_the_package(tmp_path):
    steps = next_steps("my_solver", tmp_path / "my_solver")
    assert steps[0].endswith("my_solver")
    assert "samplerbench check my_solver" in steps
