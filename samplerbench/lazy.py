"""Import of a package's public names at first use, since torch and pandas are slow to import."""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # of typing, whose import takes longer than the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package, which import its names at first use.

    Args:
        package: ``__name__`` of the package, which must define ``__all__``.
        modules: names by the module in the package that defines them, separated by spaces; the
            names of "" are modules themselves.

    >>> get, names = lazy("samplerbench.results", {"result_table": "load", "": "text"})
    >>> get("load").__name__, get("text").__name__, "compare" in names()
    ('load', 'samplerbench.results.text', True)
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("samplerbench")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not homes[name]:
            return import_module(f".{name}", package)
        return getattr(import_module(f".{homes[name]}", package), name)

    return get, lambda: sorted([*sys.modules[package].__all__, "__version__"])
