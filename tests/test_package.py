"""The package as a whole."""

from pathlib import Path

import pytest

from samplerbench import benchmarks, models, results, samplers


@pytest.mark.parametrize("package", [samplers, models, benchmarks, results])
def test_package__is_typed(package):
    assert Path(next(iter(package.__path__)), "py.typed").exists()
