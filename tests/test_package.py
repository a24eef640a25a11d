"""The package as a whole: doctests, typing marker, and names that documents use."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

from samplerbench import benchmarks, models, results, samplers

PACKAGES = (samplers, models, benchmarks, results)


def modules():
    yield "samplerbench"
    for package in PACKAGES:
        yield package.__name__
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not info.name.endswith("__main__") and ".perf" not in info.name:
                yield info.name


def test_doctests_run_and_there_are_some():
    outcomes = [
        doctest.testmod(importlib.import_module(name), exclude_empty=True) for name in modules()
    ]
    assert sum(o.failed for o in outcomes) == 0
    assert sum(o.attempted for o in outcomes) >= 5


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_typed(package):
    assert Path(next(iter(package.__path__)), "py.typed").exists()


@pytest.mark.parametrize("name", list(modules()))
def test_every_module_says_what_it_is(name):
    assert (importlib.import_module(name).__doc__ or "").strip()
