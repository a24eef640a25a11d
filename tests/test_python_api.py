"""The page on use without the command line is true, and the packages offer what it uses at little cost."""

import doctest
import importlib.metadata
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from samplerbench import benchmarks

PAGE = Path(__file__).parents[1] / "docs" / "python-api.md"


def test_the_page_is_true(monkeypatch):
    monkeypatch.chdir(PAGE.parents[1])
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried > 20
    assert not failed


@pytest.mark.parametrize("package", ["samplers", "models", "benchmarks", "results"])
def test_each_package_has_the_version(package):
    module = import_module(f"samplerbench.{package}")
    assert module.__version__ == importlib.metadata.version("samplerbench")
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


@pytest.mark.parametrize("name", benchmarks.__all__)
def test_what_the_harness_offers_is_there(name):
    assert getattr(benchmarks, name).__name__ == name


def test_importing_the_harness_is_light():
    code = (
        "import sys, samplerbench.benchmarks; print([m for m in ('torch', 'pydantic', 'pandas', 'importlib.metadata') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-S", "-c", f"import site; site.main()\n{code}"], capture_output=True, text=True, check=True)
    assert "torch" not in found.stdout
    assert "pydantic" not in found.stdout
    assert "pandas" not in found.stdout
