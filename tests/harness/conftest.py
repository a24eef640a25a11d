"""What the tests of the harness share: a registry of samplers that is as it was when a module ends."""

import pytest
from remembered import remembered  # noqa: F401

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
