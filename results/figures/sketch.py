"""The two figures that show a metric against a cost, by the name of their kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .front import front
from .sheet import Sheet, Width
from .work_precision import work_precision

if TYPE_CHECKING:
    from ..table.result_table import ResultTable

Kind = Literal["work-precision", "pareto"]
DRAWN = {"work-precision": work_precision, "pareto": front}


def draw(table: ResultTable, metric: str, cost: str, *, kind: Kind = "work-precision", width: Width = "single") -> Sheet:
    """:func:`.work_precision.work_precision` or :func:`.front.front`.

    Raises:
        ValueError: no such kind; or as they do.
    """
    if kind not in DRAWN:
        raise ValueError(f"there is no figure {kind!r}; choose from {', '.join(DRAWN)}")
    return DRAWN[kind](table, metric, cost, width=width)
