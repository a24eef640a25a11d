"""What survives: a bounded part of it in every run of the tests, all of it by ``make faults``."""

import tomllib

import pytest
from quiet_runs import quiet_run
from remembered import remembered  # noqa: F401
from started import SUITE

from samplerbench.benchmarks.suites.suite import check_suite


def pytest_collection_modifyitems(config, items):
    """Leave out the long part, unless it is asked for."""
    if "faults" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("faults")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The file of a suite of three cells of five shards each."""
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def serial(suite):
    """The table of a run of it in one process that nothing happened to."""
    checked = check_suite({"name": suite.stem, **tomllib.loads(SUITE)}, str(suite))
    return quiet_run(checked, suite.with_name("serial")).frame
