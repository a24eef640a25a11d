"""Published FIDs of papers, and their comparison with a run."""

from .rows import GRIDS, Published, rows_of_model

__all__ = ["GRIDS", "Published", "rows_of_model"]
