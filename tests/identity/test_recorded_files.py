"""Recorders of the files that a model opens."""

import gc
import sys
import types

from samplerbench.models.loaders.user_files import record_files


def test_record_files__modules_that_appear_meanwhile_do_no_harm():
    """Another thread, or a finaliser that a collection of garbage runs, may import a module."""
    added, threshold = [], gc.get_threshold()

    def appear(_phase, _info):
        added.append(f"appeared_{len(added)}")
        sys.modules[added[-1]] = types.ModuleType(added[-1])

    gc.callbacks.append(appear)
    gc.set_threshold(1)
    try:
        with record_files() as recorder:
            assert not recorder.paths
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(appear)
        for name in added:
            del sys.modules[name]
    assert added
