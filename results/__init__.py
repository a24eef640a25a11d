"""Run directories, tables, comparisons, figures and reports of runs. Nothing here imports torch.

>>> import samplerbench.results as results
>>> table = results.load("results/runs/quick")  # doctest: +SKIP
>>> table.wide("fd_conv")  # a pandas DataFrame, samplers by budgets  # doctest: +SKIP
>>> table.plot("fd_conv")  # a figure  # doctest: +SKIP
>>> results.compare_with(table, "euler").frame  # every row against Euler's  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy

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

_HOMES = {
    "comparison.compare": "compare compare_with",
    "quantities": "columns",
    "result_table": "ResultTable load",
    "text": "csv_lines format_number markdown_table",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
