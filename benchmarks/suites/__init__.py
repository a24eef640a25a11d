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
    "..samplers.spec": "format_spec label_of parse_spec",
    "cell": "file_name",
    "suite": "check_suite",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
