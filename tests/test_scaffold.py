"""The generated plugin packages are complete, pass their own tests as generated, and are tidy."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import new_processes
import pytest
from looping import each

from samplerbench.benchmarks.cli.scaffold import new_package, next_steps
from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.samplers import load_file, make, registry

KINDS = ("solver", "metric")
RULES = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["ruff"]


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The registry as it was."""
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(registry, "_ORIGIN", dict(registry._ORIGIN))


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_complete(tmp_path, kind):
    name = f"my_{kind}"
    package = new_package(kind, name, tmp_path / "plugins")
    assert package == tmp_path / "plugins" / name
    files = [path for path in package.rglob("*") if path.is_file()]
    written = {str(path.relative_to(package)) for path in files}
    code = {f"src/{name}/__init__.py", f"tests/test_{name}.py"}
    assert written == {"pyproject.toml", "README.md", *code}
    assert not [path for path in files if "$" in path.read_text()]


def test_the_solver_passes_check(tmp_path):
    package = new_package("solver", "my_solver", tmp_path)
    points = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points == {"samplerbench.samplers": {"my_solver": "my_solver:MySolver"}}
    assert load_file(package / "src" / "my_solver" / "__init__.py") == ["my_solver"]
    result = check_sampler("my_solver")
    assert result.passed, result.failures
    assert type(make("my_solver")).__name__ == "MySolver"


def test_the_metric_has_its_entry_point(tmp_path):
    package = new_package("metric", "my_metric", tmp_path)
    points = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points == {"samplerbench.metrics": {"my_metric": "my_metric:my_metric"}}


def test_the_solver_is_short(tmp_path):
    text = (new_package("solver", "my_solver", tmp_path) / "src/my_solver/__init__.py").read_text()
    assert len(text[text.index("@dataclass") :].splitlines()) < 30


def own_tests(*packages):
    """What the packages' own tests say: exit status and output."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(package / "src") for package in packages),
        "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COLUMNS": "500",  # for a whole reason in a line of the summary
    }
    words = ("-q", "-p", "no:cacheprovider", *(package / "tests" for package in packages))
    code, out, err = new_processes.command(
        *words, cwd=packages[0].parent, env=environment, module="pytest"
    )
    return code, out + err


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("solver", 1), ("metric", 8)])
def test_its_own_test_runs(tmp_path, kind, count):
    code, said = own_tests(new_package(kind, f"my_{kind}", tmp_path))
    assert code == 0, said
    assert f"{count} passed" in said


@pytest.mark.slow
def test_the_metric_s_test_finds_a_wrong_formula(tmp_path):
    """Four packages, each with one, in one process: to start takes longer than to test."""
    wrong = {
        "value": ("gap @ gap - np.trace(v)", "gap @ gap", "it is biased"),
        "error": ("se = math.sqrt(max(first, 0.0) + second)", "se = math.sqrt(second)", "its standard err"),
        "ends": ("half = Z95 * math.sqrt(", "half = math.sqrt(", "of 1000 replicates"),
        "shares": (
            "Estimate(value, se, low, high, 2 * u, -2 * w)",
            "Estimate(value, se, low, high, u, w)",
            "test_influences",
        ),
    }  # fmt: skip
    for name, (right, other, _) in wrong.items():
        file = new_package("metric", f"my_{name}", tmp_path) / "src" / f"my_{name}" / "__init__.py"
        assert right in file.read_text()
        file.write_text(file.read_text().replace(right, other))
    code, said = own_tests(*(tmp_path / f"my_{name}" for name in wrong))
    assert code == 1
    failed = [line for line in said.splitlines() if line.startswith("FAILED ")]
    for name, (_, _, words) in wrong.items():
        found = [line for line in failed if f"test_my_{name}.py" in line]
        assert any(words in line for line in found), f"{name}: {found}"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_tidy(tmp_path, kind):
    package = new_package(kind, f"my_{kind}", tmp_path)
    ruff, common = [sys.executable, "-m", "ruff"], ["--isolated", "--no-cache", "--line-length=100"]
    lint = RULES["lint"]
    rules = [
        f"--select={','.join(lint['select'])}",
        f"--ignore={','.join([*lint['ignore'], 'D103'])}",
    ]
    rules += ["--config", f"lint.pydocstyle.convention='{lint['pydocstyle']['convention']}'"]
    for command in (["check", *rules], ["format", "--check"]):
        words = [*ruff, *command, *common, "."]
        run = subprocess.run(words, cwd=package, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@each(
    ("kind", "name", "sentence"),
    [
        ("solver", "my-solver", "a solver needs a lower-case Python name such as " "my_solver, got 'my-solver'"),
        ("metric", "my-metric", "a metric needs a lower-case Python name such as " "my_metric, got 'my-metric'"),
        ("solver", "1st", "a solver needs a lower-case Python name"),
        ("solver", "", "a solver needs a lower-case Python name"),
        ("metric", "class", "a metric needs a lower-case Python name"),
        ("solver", "Mine", "a solver needs a lower-case Python name"),
        ("solver", "../up", "a solver needs a lower-case Python name"),
        ("solver", "heun", "a sampler called 'heun' already exists; choose another name"),
        ("metric", "frechet", "a metric called 'frechet' already exists; choose another name"),
        ("metric", "status", "a column called 'status' already exists; choose another name"),
        ("metric", "json", "a Python module called 'json' is already installed; choose another name"),
    ],
)  # fmt: skip
def test_new__a_name_that_will_not_do_is_refused(tmp_path, kind, name, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        new_package(kind, name, tmp_path)
    assert str(caught.value).startswith(sentence)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "my_solver").mkdir()
    (tmp_path / "my_solver" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already exists"):
        new_package("solver", "my_solver", tmp_path)
    assert [path.name for path in (tmp_path / "my_solver").iterdir()] == ["notes.txt"]


def test_next_steps_name_the_package(samplerbench, tmp_path):
    steps = next_steps("solver", "my_solver", tmp_path / "my_solver")
    assert steps[0].endswith("my_solver")
    assert "samplerbench check my_solver" in steps
    code, out, _ = samplerbench("new-metric", "my_metric", "--out", "packages")
    assert code == 0
    assert "Wrote packages/my_metric. Next:" in out
    assert "pip install -e packages/my_metric" in out
    assert "samplerbench show my_metric-run --metric my_metric" in out
