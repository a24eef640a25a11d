"""Results of runs: run directories, tables, comparisons, figures, reports. Never imports torch.

>>> import samplerbench.results as results
>>> table = results.load("results/runs/quick")  # doctest: +SKIP
>>> table.wide("fd_conv")  # a pandas DataFrame, samplers by budgets  # doctest: +SKIP
>>> table.plot("fd_conv")  # a figure  # doctest: +SKIP
>>> results.compare_with(table, "euler").frame  # every row against Euler's  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison.compare import compare, compare_with
    from .quantities import columns
    from .result_table import ResultTable, load
    from .text import csv_lines, format_number, markdown_table

__all__ = [
    "ResultTable",
    "columns",
    "compare",
    "compare_with",
    "csv_lines",
    "format_number",
    "load",
    "markdown_table",
]

_HOME = {
    "csv_lines": "text",
    "format_number": "text",
    "markdown_table": "text",
    "ResultTable": "result_table",
    "columns": "quantities",
    "compare": "comparison.compare",
    "compare_with": "comparison.compare",
    "load": "result_table",
}


def __getattr__(name: str) -> Any:
    """Return a public name or ``__version__``, imported on first use: importing pandas takes time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("samplerbench")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names for completion and ``help``, imported or not."""
    return sorted([*__all__, "__version__"])
