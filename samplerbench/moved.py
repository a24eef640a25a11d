"""Old names of packages that moved after 0.1.0, which import with a warning until the next release."""

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
    "benchmarks.scoring.solutions": "benchmarks.scoring",
    "benchmarks.suites.spec": "samplers.spec",
    "results.run_directory.disk": "results.run_directory",
    "samplers.families.adams": "samplers.families.multistep",
    "samplers.pilot": "samplers.auto",
}
"""New names by old names, without ``samplerbench.``; modules inside a package keep their names."""


class MovedModules:
    """Import hook, first in ``sys.meta_path``, that finds modules by their old names."""

    def find_spec(
        self, name: str, _path: object = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module spec for an old name; None for any other name."""
        return ModuleSpec(name, self) if _new_name(name) else None  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave the module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Warn, and put the module with the new name in ``sys.modules`` under the old name."""
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
