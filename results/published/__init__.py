"""What papers report, and how a run compares with it."""

from .rows import Published, rows_of_model
from .solvers import GRIDS

__all__ = ["GRIDS", "Published", "rows_of_model"]
