"""What the tests of hostile files share: the arena of the fuzz tests, whose neighbour must stay as it
is, and a run directory in invented numbers.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

import pytest
from arena import Arena, small_run, warned


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with a run directory."""
    folder = tmp_path_factory.mktemp("template")
    small_run(folder / "run", models=("gmm-2d",), budgets=(5,))
    return folder


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    """A working folder with a neighbour, and warnings as the command line prints them."""
    with warned():
        yield Arena.at(tmp_path_factory.mktemp("arena"))
