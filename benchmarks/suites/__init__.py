"""Suites and their TOML files, names with options, cells, and starts.

A suite that ships is a TOML file here, found by its name (docs/adding-a-suite.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...samplers.spec import format_spec, label_of, parse_spec
    from .cell import file_name
    from .suite import check_suite

__all__ = ["check_suite", "file_name", "format_spec", "label_of", "parse_spec"]

_HOMES = {"check_suite": ".suite", "file_name": ".cell"}
"""Modules of the public names; the others are of ``samplers.spec``."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "...samplers.spec"), __name__), name)
