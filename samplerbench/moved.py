"""Packages that moved in 0.3: their old names import, with a warning, until the release after it."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "benchmarks.advice.asked": "benchmarks.advice",
    "benchmarks.advice.racing": "benchmarks.advice",
    "benchmarks.running.executing": "benchmarks.running.executors",
    "benchmarks.sampling.fingerprint": "benchmarks.identity",
    "benchmarks.scoring.solutions": "benchmarks.scoring",
    "benchmarks.suites.spec": "samplers.spec",
    "results.run_directory.disk": "results.run_directory",
    "samplers.pilot": "samplers.auto",
}
"""Old and new names, without that of the distribution; modules inside keep theirs."""


class MovedModules:
    """Finder, first in ``sys.meta_path``, of modules by their old names."""

    def find_spec(
        self, name: str, _path: object = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name; None for any other."""
        return ModuleSpec(name, self) if _new_name(name) else None  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave the module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the new name in place of this one."""
        old = module.__name__
        new = _new_name(old)
        warnings.warn(f"{old} is {new} now", DeprecationWarning, stacklevel=2)
        sys.modules[old] = import_module(new)


def _new_name(name: str) -> str:
    top, _, rest = name.partition(".")
    for old, new in MOVED.items() if top == "samplerbench" else ():
        if rest == old or rest.startswith(f"{old}."):
            return f"samplerbench.{new}{rest[len(old) :]}"
    return ""
