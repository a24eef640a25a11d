"""Suites and their TOML files, names with options, cells, and starts.

A suite that ships is a TOML file here, found by its name (docs/adding-a-suite.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .cell import file_name
    from .spec import format_spec, label_of, parse_spec
    from .suite import check_suite

__all__ = ["check_suite", "file_name", "format_spec", "label_of", "parse_spec"]

_HOMES = {
    "check_suite": "suite",
    "file_name": "cell",
    "format_spec": "spec",
    "label_of": "spec",
    "parse_spec": "spec",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
