"""What papers report, and how a run compares with it."""

from .rows import GRIDS, Published, rows_of_model

__all__ = ["GRIDS", "Published", "rows_of_model"]
