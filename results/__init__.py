"""What came out: records, tables, comparisons and reports. Never imports torch.

>>> import samplerbench.results as results
>>> table = results.load("results/runs/quick")  # doctest: +SKIP
>>> table.wide("fd_conv")  # a pandas DataFrame, samplers by budgets  # doctest: +SKIP
>>> table.plot("fd_conv")  # a figure  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .table import ResultTable, load

__all__ = ["ResultTable", "load"]


def __getattr__(name: str) -> Any:
    """``load``, ``ResultTable`` and ``__version__``, when they are asked for: pandas takes its time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("samplerbench")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import table

    return getattr(table, name)
