"""What the tests of identity share: plugins that are loaded as a new process would, and a cache
of their own.
"""

import sys

import pytest
from remembered import remembered  # noqa: F401

from samplerbench import samplers
from samplerbench.models.loaders.user_files import record_files
from samplerbench.samplers import loop, registry


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Features of real samples that no other test has seen."""
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def bytecode(monkeypatch):
    """A file that is edited twice in a second would be taken from its bytecode, whose stamp has
    seconds.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture
def built_in():
    """Plans are remembered by sampler and grid, which an edited class within one process does
    not change.
    """
    loop._plan_of_hashable.cache_clear()
    yield loop._plan_of_hashable.cache_clear
    loop._plan_of_hashable.cache_clear()


@pytest.fixture
def plugin(tmp_path):
    """Writes files and loads the first, a plugin, as a new process would; without any, forgets all."""
    tables = registry._REGISTRY, registry._ORIGIN, registry._PLUGIN_FILE
    known = [dict(table) for table in tables]
    path = list(sys.path)

    def forget():
        for table, before in zip(tables, known, strict=True):
            table.clear()
            table.update(before)
        for name in [
            name
            for name, module in sys.modules.items()
            if str(tmp_path) in str(getattr(module, "__file__", ""))
        ]:
            del sys.modules[name]
        loop._plan_of_hashable.cache_clear()

    def load(**files):
        forget()
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        if files:
            samplers.load_file(tmp_path / f"{next(iter(files))}.py", record_files)

    sys.path.insert(0, str(tmp_path))
    yield load
    forget()
    sys.path[:] = path
