"""The package as a whole."""

import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

from samplerbench import benchmarks, models, results, samplers
from samplerbench.moved import MOVED

REFUSING = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"{name} is refused", name=name)

REFUSED = {"scipy", "torchdiffeq", "pandas", "pydantic", "typer", "rich", "jinja2", "markupsafe"}
REFUSED |= {"matplotlib", "plotly", "pyarrow", "safetensors"}
REFUSED -= set(sys.modules)  # what starts with the interpreter
sys.meta_path.insert(0, Refuse())
"""
"""Code that lets nothing be imported but torch, NumPy, and what these need."""


def fresh_process(code: str) -> str:
    """Return what a new interpreter prints that runs the code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("package", [samplers, models, benchmarks, results])
def test_package__is_typed(package):
    assert Path(next(iter(package.__path__)), "py.typed").exists()


def test_import_samplerbench__takes_less_than_a_tenth_of_a_second():
    code = "import time; began = time.perf_counter(); import samplerbench; print(time.perf_counter() - began)"
    assert min(float(fresh_process(code)) for _ in range(3)) < 0.1


@pytest.mark.parametrize("package", ["samplerbench", "samplerbench.benchmarks"])
def test_package__is_a_command(package):
    command = [sys.executable, "-m", package, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"samplerbench {samplers.__version__}\n"


@pytest.mark.slow
def test_samplers__need_torch_and_numpy_only():
    use = """
import importlib, pkgutil
from samplerbench import samplers

for module in pkgutil.walk_packages(samplers.__path__, "samplerbench.samplers."):
    importlib.import_module(module.name)
for name in samplers.__all__:
    getattr(samplers, name)
print(samplers.make("heun").nfe(samplers.karras(18, 0.002, 80.0)))
"""
    assert fresh_process(REFUSING + use) == "35"


def test_samplers__a_process_without_pandas_refuses_results():
    done = subprocess.run(
        [sys.executable, "-c", f"{REFUSING}from samplerbench.results import load"],
        capture_output=True,
        text=True,
    )
    assert "pandas is refused" in done.stderr


def test_moved__a_module_of_an_old_package_is_the_one_that_is_there_now():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = import_module("samplerbench.samplers.pilot.rule")
    assert module is samplers.auto.rule
    assert "samplers.auto.rule now" in str(caught[-1].message)


@pytest.mark.parametrize("old", MOVED)
def test_moved__all_old_names_import(old, monkeypatch):
    monkeypatch.delitem(sys.modules, f"samplerbench.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=f"{MOVED[old]} now"):
        module = import_module(f"samplerbench.{old}")
    assert module.__name__ == f"samplerbench.{MOVED[old]}"
