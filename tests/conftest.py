"""One torch thread as in workers, commands run in this process, fixed examples, and fixtures."""

import functools
import gc
import os
import shutil
import sys

import pytest
import torch
import typer.main
from hypothesis import settings

torch.set_num_threads(1)
# else all commands are built anew at every call of one
typer.main.get_command = functools.cache(typer.main.get_command)
# no test cuts the power, and a disk takes milliseconds; test_stopping sees that it is called
os.fsync = os.fstat
# of commands that tests call here; those about the worker ask for it
os.environ.setdefault("SAMPLERBENCH_ISOLATION", "0")
settings.register_profile("same", derandomize=True, deadline=None, max_examples=25, database=None)
settings.load_profile("same")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Take a new cache: what was found for a model by other code, or by tests of yesterday, is not
    what tests are about. It is in pytest's folder, which goes even after a run that was killed.
    """
    if "SAMPLERBENCH_CACHE" not in os.environ:  # workers have it of the process that started them
        folder = config._tmp_path_factory.mktemp("cache", numbered=False)
        os.environ["SAMPLERBENCH_CACHE"] = str(folder)


def pytest_collection_finish():
    """Keep the bytecode of what is imported now, for this process and those that tests start: a file
    that a test writes twice within a second must not be taken for its older self. And libraries and
    tests stay: a full search for garbage need not walk through them, a twelfth of a test's time.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def registry_as_it_was():
    """Samplers that tests register are gone when their module ends: other tests look at every
    registered name, start workers that load every plugin, and find no file of a test that ended.
    """
    from samplerbench.samplers import registry
    from samplerbench.samplers.schedules.registry import SCHEDULES

    registry.names()  # imports all built-in samplers, which stay
    tables = registry._REGISTRY, registry._ORIGIN, registry._PLUGIN_FILE, SCHEDULES
    known = [dict(table) for table in tables]
    yield
    for registered, before in zip(tables, known, strict=True):
        registered.clear()
        registered.update(before)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium through Playwright.

    Tests that ask for it are skipped where either is missing.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api",
        reason="playwright is not installed: pages are not tested in a browser",
    )
    chromium = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if chromium is None:
        pytest.skip("no chromium found: pages are not tested in a browser")
    with playwright.sync_playwright() as library:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses one to root
        browser = library.chromium.launch(executable_path=chromium, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def samplerbench(monkeypatch, capsys, tmp_path):
    """Call the command line in a folder of its own: (exit code, stdout, stderr)."""
    from samplerbench.benchmarks import cli
    from samplerbench.benchmarks.cli.common import console

    monkeypatch.chdir(tmp_path)
    # COLUMNS may be set where pytest's workers start
    monkeypatch.setattr(console.out, "_width", 200)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["samplerbench", *map(str, args)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return call
