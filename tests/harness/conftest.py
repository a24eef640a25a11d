"""What the tests of the harness share: the command line, and a registry of samplers that is as it was when a module ends."""

import sys

import pytest

from samplerbench.benchmarks import cli
from samplerbench.benchmarks.cli import console
from samplerbench.samplers import registry


@pytest.fixture(autouse=True, scope="module")
def registry_as_it_was():
    """Faulty samplers that tests register are gone when their module ends: other tests look at every registered name."""
    tables = registry._REGISTRY, registry._ORIGIN, registry._PLUGIN_FILE
    known = [dict(table) for table in tables]
    yield
    for registered, before in zip(tables, known, strict=True):
        registered.clear()
        registered.update(before)


@pytest.fixture
def samplerbench(monkeypatch, capsys, tmp_path):
    """Call the command line in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console.out, "_width", 200)  # COLUMNS may be set where pytest's workers start

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
