"""Rows of the page, one per module, each with the function from measurement to answer."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from ..measuring.row import Row


def rows() -> dict[int, Row[Any]]:
    """Return all rows by number: ``ROW`` of each module ``row_NN_slug`` of this folder."""
    modules = iter_modules([str(Path(__file__).parent)])
    names = sorted(module.name for module in modules if re.fullmatch(r"row_\d\d_\w+", module.name))
    found: list[Row[Any]] = [import_module(f".{name}", __package__).ROW for name in names]
    return {row.number: row for row in found}
