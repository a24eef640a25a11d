"""Suites and their TOML files, specs, cells and starts.

Built-in suites are TOML files in this folder (docs/how-to/adding-a-suite.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from ...samplers.spec import format_spec, label_of, parse_spec
    from .cell import file_name
    from .suite import check_suite

__all__ = ["check_suite", "file_name", "format_spec", "label_of", "parse_spec"]

_HOMES = {
    "check_suite": "suite",
    "file_name": "cell",
    "format_spec": "..samplers.spec",
    "label_of": "..samplers.spec",
    "parse_spec": "..samplers.spec",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
